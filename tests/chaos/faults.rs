//! Every fault by itself, and its price: when the holder learns of its loss, when the next one has the lock, and
//! whether the two overlap. The figures go into the summary, and with `--long` into docs/reliability.md.

use std::time::{Duration, Instant};

use dlock::Locker;
use dlock_tests::{
    Backend, Proxy, Server, Signal, Site, Taker, Temp, Witness, in_time, is_long, taker,
};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::figures::{Figures, Outcome};

const TTL: Duration = Duration::from_secs(2);
/// Long enough for several heartbeats: what ends is not the first validity.
const BEFORE: Duration = Duration::from_millis(1500);
/// When those who can get the lock without the holder's return have it, on a busy machine.
const MEANWHILE: Duration = Duration::from_secs(8);
/// When everybody must have it, and everybody must know.
const AT_LAST: Duration = Duration::from_secs(20);
/// For how long a holder may go on after the server has ended its session, or has ended itself: the news is on
/// its way. Where the server sends none, it comes with the next heartbeat.
const NEWS: Duration = Duration::from_millis(500);
const HEARTBEAT: Duration = Duration::from_millis(700);

/// What happens to a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
    CutOff,
    Closed,
    Ended,
}

impl Fault {
    fn all_on(backend: Backend) -> Vec<Self> {
        let mut all = vec![Fault::Killed, Fault::Frozen];
        if backend != Backend::Sqlite {
            all.extend([Fault::CutOff, Fault::Closed]);
        }
        if backend.is_server() {
            all.push(Fault::Ended);
        }
        all
    }

    fn name(self) -> &'static str {
        match self {
            Fault::Killed => "the holder is killed",
            Fault::Frozen => "the holder is frozen",
            Fault::CutOff => "the holder is cut off",
            Fault::Closed => "the holder's connection closes",
            Fault::Ended => "the server ends the session",
        }
    }

    /// For how long the holder may go on beside the next one: only where the server frees the lock by itself.
    fn overlap_max(self, backend: Backend) -> Duration {
        match self {
            Fault::Closed | Fault::Ended if backend.is_mysql() => NEWS + HEARTBEAT,
            Fault::Closed | Fault::Ended => NEWS,
            Fault::Killed | Fault::Frozen | Fault::CutOff => Duration::ZERO,
        }
    }
}

/// A process that holds a key, and a task that waits for it.
struct Holder {
    taker: Taker,
    folder: Temp,
    next: JoinHandle<u64>,
}

impl Holder {
    async fn new(site: &Site, others: &Locker, key: &str) -> Self {
        let folder = Temp::new();
        let mut taker = taker!(site, "beat", key, folder.file("beats").display());
        assert!(taker.line().await.starts_with("held"));
        let (others, key) = (others.clone(), key.to_owned());
        let next = tokio::spawn(async move {
            loop {
                // In slices: a server that restarts answers with errors, or for a time not at all.
                match others.lock(&key).timeout(Duration::from_secs(5)).acquire().await {
                    Ok(_guard) => return dlock_tests::clock::now(),
                    Err(error) if error.is_timeout() || error.is_retryable() => {
                        sleep(Duration::from_millis(10)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
        Holder { taker, folder, next }
    }

    /// What came of it. `told_from`: from when on it can know; `None` if it is dead.
    async fn outcome(mut self, fault_at: u64, told_from: Option<u64>) -> Outcome {
        let next = in_time("the next one's lock", AT_LAST, self.next).await.unwrap();
        if told_from.is_some() {
            let line = in_time("news of the loss", AT_LAST, self.taker.line()).await;
            assert!(line.starts_with("lost"), "{line}");
        }
        let file = self.folder.file("beats");
        Outcome::read(&file, fault_at, told_from, next)
    }
}

/// What happens to holders while the server is well: all at once, each to a holder of its own.
pub(crate) async fn of_holders_are_told_before_the_next_one_comes(site: Site) {
    let site = site.ttl(TTL);
    let backend = site.backend.unwrap();
    let faults = Fault::all_on(backend);
    let mut figures: Vec<Figures> = faults.iter().map(|fault| Figures::new(fault.name())).collect();
    for _ in 0..rounds() {
        let outcomes = one_round(&site, &faults).await;
        for ((fault, figures), outcome) in faults.iter().zip(&mut figures).zip(outcomes) {
            let bound = fault.overlap_max(backend);
            assert!(outcome.overlap <= bound, "{fault:?}: two for {:?}", outcome.overlap);
            figures.add(outcome);
        }
    }
    figures.iter().for_each(|figures| figures.report(backend));
}

async fn one_round(site: &Site, faults: &[Fault]) -> Vec<Outcome> {
    let backend = site.backend.unwrap();
    let others = site.named("others").locker().await;
    let (mut holders, mut proxies) = (Vec::new(), Vec::new());
    for fault in faults {
        let mut own = site.named(&format!("{fault:?}").to_lowercase());
        let proxy = match fault {
            Fault::CutOff | Fault::Closed => Some(Proxy::to(&own.url).await),
            _ => None,
        };
        own = proxy.as_ref().map_or(own.clone(), |proxy| own.through(proxy.url()));
        holders.push((Holder::new(&own, &others, &format!("{fault:?}")).await, own));
        proxies.push(proxy);
    }
    sleep(BEFORE).await;
    let mut began = Vec::new();
    for ((fault, (holder, own)), proxy) in faults.iter().zip(&mut holders).zip(&mut proxies) {
        began.push(dlock_tests::clock::now());
        match fault {
            Fault::Killed => holder.taker.kill(),
            Fault::Frozen => holder.taker.signal(Signal::STOP),
            Fault::CutOff => proxy.as_ref().unwrap().go_silent(),
            Fault::Closed => drop(proxy.take()),
            Fault::Ended => assert!(Witness::at(&own.url).await.terminate(own).await > 0),
        }
    }
    // SQL Server does not end the session of a client that is frozen or cut off: there the next one comes afterwards.
    let end = Instant::now() + if backend == Backend::Mssql { 3 * TTL } else { MEANWHILE };
    for (holder, _) in &mut holders {
        while !holder.next.is_finished() && Instant::now() < end {
            sleep(Duration::from_millis(5)).await;
        }
    }
    let mut outcomes = Vec::new();
    for ((fault, (holder, _own)), (proxy, began)) in
        faults.iter().zip(holders).zip(proxies.iter().zip(began))
    {
        let told_from = match fault {
            Fault::Killed => None,
            Fault::Frozen => {
                let thawed = dlock_tests::clock::now();
                holder.taker.signal(Signal::CONT);
                Some(thawed)
            }
            Fault::CutOff | Fault::Closed | Fault::Ended => Some(began),
        };
        if let Some(proxy) = proxy {
            proxy.come_back();
        }
        outcomes.push(holder.outcome(began, told_from).await);
    }
    others.close().await;
    outcomes
}

/// What happens to a server under a holder.
pub(crate) async fn of_servers_are_told_before_the_next_one_comes(site: Site) {
    let backend = site.backend.unwrap();
    let kind = match backend {
        Backend::LeasePostgres => Backend::Postgres,
        Backend::LeaseMySql => Backend::MySql,
        Backend::LeaseMariaDb => Backend::MariaDb,
        other => other,
    };
    let Some(server) = Server::start(kind, &[]) else { return };
    let url =
        if backend.is_lease() { format!("lease+{}", server.url()) } else { server.url().into() };
    let site = Site::at(&url).ttl(TTL);
    // A session lock ends with its server, and the next one may be there before the news.
    let news = match backend {
        _ if backend.is_lease() => Duration::ZERO,
        _ if backend.is_mysql() => NEWS + HEARTBEAT,
        _ => NEWS,
    };
    type Blow = fn(&Server);
    let faults: [(&str, Blow, Duration, bool); 3] = [
        ("the server restarts", Server::restart, news, false),
        ("the server crashes", crash, news, false),
        ("the server is frozen", freeze, Duration::ZERO, true),
    ];
    for (name, blow, overlap_max, must_lose) in faults {
        let mut figures = Figures::new(name);
        for _ in 0..rounds() {
            let outcome = through(&site, &server, blow, must_lose || !backend.is_lease()).await;
            assert!(outcome.overlap <= overlap_max, "{name}: two for {:?}", outcome.overlap);
            figures.add(outcome);
        }
        figures.report(backend);
    }
}

fn crash(server: &Server) {
    server.kill();
    server.start_after_crash();
}

/// For longer than a validity.
fn freeze(server: &Server) {
    server.freeze();
    std::thread::sleep(TTL * 3 / 2);
    server.thaw();
}

/// A holder through a fault of the server. A lease may outlive it: then the holder is ended, and the next one comes.
async fn through(site: &Site, server: &Server, blow: fn(&Server), must_lose: bool) -> Outcome {
    let others = site.named("others").locker().await;
    let mut holder = Holder::new(&site.named("holder"), &others, "k").await;
    sleep(BEFORE).await;
    let began = dlock_tests::clock::now();
    tokio::task::block_in_place(|| blow(server));
    let kept = !must_lose && timeout(MEANWHILE / 2, holder.taker.line()).await.is_err();
    let outcome = if kept {
        let (kept_until, folder) = (dlock_tests::clock::now(), &holder.folder);
        let seen = dlock_tests::history::read(&folder.file("beats"), "the holder", true);
        assert!(seen.iter().all(|hold| hold.until > began), "it neither works nor knows");
        holder.taker.kill();
        holder.outcome(kept_until, None).await
    } else if must_lose {
        holder.outcome(began, Some(began)).await
    } else {
        // Its line has been read.
        let told_from = Some(began);
        let next = in_time("the next one's lock", AT_LAST, &mut holder.next).await.unwrap();
        Outcome::read(&holder.folder.file("beats"), began, told_from, next)
    };
    others.close().await;
    outcome
}

fn rounds() -> usize {
    if is_long() { 20 } else { 1 }
}
