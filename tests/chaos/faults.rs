//! Every fault of a holder by itself, and its price: when the holder learns of its loss, when the next one has the
//! lock, and whether the two overlap. The figures go into the summary, and with `--long` into docs/reliability.md.

use std::time::{Duration, Instant};

use dlock_tests::{
    Backend, Launch, MemoryLimit, Proxy, Signal, Site, Wall, Witness, clock, in_time, is_long,
    not_run,
};
use tokio::time::sleep;

use crate::fault::Fault;
use crate::figures::{Figures, Outcome};
use crate::holder::Holder;

pub(crate) const TTL: Duration = Duration::from_secs(2);
/// Long enough for several heartbeats: what ends is not the first validity.
pub(crate) const BEFORE: Duration = Duration::from_millis(1500);
/// When those who can get the lock without the holder's return have it, on a busy machine.
pub(crate) const MEANWHILE: Duration = Duration::from_secs(8);
/// For how long a holder may go on after the server has ended its session, or has ended itself: the news is on its
/// way. Where the server sends none, it comes with the next heartbeat.
pub(crate) const NEWS: Duration = Duration::from_millis(500);
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(700);
/// No validity ends by this.
const MOMENT: Duration = Duration::from_millis(400);
const HOUR: i64 = 3600;

/// A fault that is to happen.
struct Trial {
    fault: Fault,
    site: Site,
    holder: Holder,
    proxy: Option<Proxy>,
    wall: Option<Wall>,
    began: u64,
    _memory: Option<MemoryLimit>,
}

impl Trial {
    async fn new(fault: Fault, site: &Site, others: &dlock::Locker) -> Self {
        let mut site = site.named(&format!("{fault:?}").to_lowercase());
        let mut proxy = None;
        if fault.needs_proxy() {
            let to = Proxy::to(&site.url).await;
            site = site.through(to.url());
            proxy = Some(to);
        }
        let wall = Wall::new().filter(|_| fault == Fault::ClockSet);
        let memory = (fault == Fault::OutOfMemory).then(MemoryLimit::new);
        let launch =
            memory.as_ref().map_or_else(|| Launch::from(wall.as_ref()), MemoryLimit::launch);
        let holder = Holder::new(&site, launch, others, &format!("{fault:?}")).await;
        Trial { fault, site, holder, proxy, wall, began: 0, _memory: memory }
    }

    async fn begin(&mut self) {
        self.began = clock::now();
        let proxy = self.proxy.as_ref();
        match self.fault {
            Fault::Killed => self.holder.taker.kill(),
            Fault::Frozen => self.holder.taker.signal(Signal::STOP),
            Fault::FrozenShortly => {
                self.holder.taker.signal(Signal::STOP);
                sleep(MOMENT).await;
                self.holder.taker.signal(Signal::CONT);
            }
            Fault::CutOff => proxy.unwrap().go_silent(),
            Fault::Unheard => proxy.unwrap().lose_requests(),
            Fault::Unanswered => proxy.unwrap().lose_answers(),
            Fault::Closed => drop(self.proxy.take()),
            Fault::Ended => {
                assert!(Witness::at(&self.site.url).await.terminate(&self.site).await > 0);
            }
            Fault::ClockSet => {
                let wall = self.wall.as_ref().unwrap();
                wall.set(HOUR);
                sleep(MOMENT).await;
                wall.set(-HOUR);
            }
            Fault::Forked => self.fork().await,
            Fault::ForkedAndKilled => {
                self.fork().await;
                self.began = clock::now();
                self.holder.taker.kill();
            }
            Fault::OutOfMemory => self.holder.taker.tell("eat"),
        }
    }

    async fn fork(&mut self) {
        self.holder.taker.tell("fork");
        self.holder.taker.says("forked").await;
    }

    async fn end(mut self) -> Outcome {
        if self.fault.is_harmless() {
            return self.holder.outcome_if_kept(self.began, Duration::from_millis(1)).await;
        }
        let told_from = match self.fault {
            Fault::Killed => None,
            Fault::ForkedAndKilled => {
                self.holder.taker.hang_up();
                None
            }
            Fault::OutOfMemory => {
                let ended = async {
                    while self.holder.taker.ended().is_none() {
                        sleep(Duration::from_millis(10)).await;
                    }
                };
                in_time("the end of a holder without memory", MEANWHILE, ended).await;
                self.began = self.holder.last_act();
                None
            }
            Fault::Frozen => {
                let thawed = clock::now();
                self.holder.taker.signal(Signal::CONT);
                Some(thawed)
            }
            _ => Some(self.began),
        };
        if let Some(proxy) = &self.proxy {
            proxy.come_back();
        }
        self.holder.outcome(self.began, told_from).await
    }
}

/// What happens to holders while the server is well: all at once, each to a holder of its own.
pub(crate) async fn of_holders_are_told_before_the_next_one_comes(site: Site) {
    let site = site.ttl(TTL);
    let backend = site.backend.unwrap();
    let mut faults = Fault::all_on(backend);
    if Wall::new().is_none() {
        not_run("a holder's clock that is set", "libfaketime is not installed: run tests/setup");
        faults.retain(|fault| *fault != Fault::ClockSet);
    }
    let mut figures: Vec<Figures> = faults.iter().map(|fault| Figures::new(fault.name())).collect();
    for _ in 0..rounds() {
        let outcomes = match backend {
            Backend::Sqlite => each_in_a_file(&faults).await,
            _ => one_round(&site, &faults).await,
        };
        for ((fault, figures), outcome) in faults.iter().zip(&mut figures).zip(outcomes) {
            let bound = fault.overlap_max(backend);
            assert!(outcome.overlap <= bound, "{fault:?}: two for {:?}", outcome.overlap);
            figures.add(outcome);
        }
    }
    figures.iter().for_each(|figures| figures.report(backend));
}

/// A process that is frozen in a write keeps the file from all others.
async fn each_in_a_file(faults: &[Fault]) -> Vec<Outcome> {
    let rounds = faults.iter().copied().map(|fault| {
        tokio::spawn(async move {
            let site = Site::on(Backend::Sqlite).unwrap().ttl(TTL);
            one_round(&site, &[fault]).await.remove(0)
        })
    });
    let mut outcomes = Vec::new();
    for round in rounds.collect::<Vec<_>>() {
        outcomes.push(round.await.unwrap());
    }
    outcomes
}

async fn one_round(site: &Site, faults: &[Fault]) -> Vec<Outcome> {
    let backend = site.backend.unwrap();
    let others = site.named("others").locker().await;
    let mut trials = Vec::new();
    for fault in faults {
        trials.push(Trial::new(*fault, site, &others).await);
    }
    sleep(BEFORE).await;
    for trial in &mut trials {
        trial.begin().await;
    }
    let begun = Instant::now();
    let in_time = |trial: &&Trial| !trial.fault.is_harmless() && trial.fault.frees_in_time(backend);
    while begun.elapsed() < MEANWHILE {
        let followed = trials.iter().filter(in_time).all(|trial| trial.holder.is_followed());
        if followed && begun.elapsed() > 3 * TTL / 2 {
            break;
        }
        sleep(Duration::from_millis(5)).await;
    }
    for trial in trials.iter().filter(in_time) {
        assert!(trial.holder.is_followed(), "{:?}: not free within {MEANWHILE:?}", trial.fault);
    }
    let mut outcomes = Vec::new();
    for trial in trials {
        outcomes.push(trial.end().await);
    }
    others.close().await;
    outcomes
}

/// How often each fault happens.
pub(crate) fn rounds() -> usize {
    if is_long() { 20 } else { 1 }
}
