//! A process that takes locks, for tests that need several or kill one: `process.rs` starts it.
//!
//! `taker URL NAMESPACE NAME TTL COMMAND …`; it says a line for what happens, hears lines, and ends
//! when its input does, so that none outlives its test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod ender;
mod fighter;
mod forker;
mod leader;
mod trouble;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dlock::{Error, Guard, Lock, Locker, Stage, Wait};
use dlock_tests::history::Writer;
use dlock_tests::{Site, clock};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(5);

type Orders = mpsc::UnboundedReceiver<String>;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (site, command) = args.split_first_chunk().unwrap();
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let site = Site::from_args(site.clone());
    if let ["increment-blocking", key, file, times] = command[..] {
        return increment_blocking(&site.locker_blocking(), key, Path::new(file), times);
    }
    if let ["end", how, key, file] = command[..] {
        assert!(ender::end(&site, how, key, Path::new(file)), "no such end: {how}");
        return;
    }
    if let ["fork", key] = command[..] {
        return forker::fork(&site.url, key);
    }
    if let ["init-from-env"] = command[..] {
        return match dlock::init_from_env_blocking() {
            Ok(locker) => println!("{locker:?}"),
            Err(error) => println!("{error}"),
        };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let orders = hear();
        match command[..] {
            ["hold", key, ref terms @ ..] => {
                let lock = with(site.locker().await.lock(key).timeout(Wait::Forever), terms);
                hold(&lock, orders).await;
            }
            ["into-token", key] => into_token(&site.locker().await, key).await,
            ["adopt", token] => adopt(&site.locker().await, token, orders).await,
            ["once", key, end] => once(&site.locker().await, key, end).await,
            ["disabled", key] => {
                dlock::set_enabled(false);
                let guard = site.locker().await.lock(key).ttl(TTL).acquire().await.unwrap();
                println!("granted {:?}", guard.fence());
            }
            ["hold-fenced", key] => {
                let lock = site.locker().await.lock(key).fenced().timeout(Wait::Forever);
                let guard = lock.acquire().await.unwrap();
                println!("held {}", guard.fence().unwrap());
                std::future::pending::<()>().await;
            }
            ["tokens", tasks, times, keys, file] => {
                let [tasks, times, keys] = [tasks, times, keys].map(|n| n.parse().unwrap());
                tokens(&site.locker().await, tasks, times, keys, Path::new(file)).await;
            }
            ["beat", key, file] => {
                tokio::spawn(trouble::ordered(orders));
                beat(&site.locker().await, key, Path::new(file)).await;
            }
            ["increment", key, file, times] => {
                increment(&site.locker().await, key, Path::new(file), times).await;
            }
            ["history", keys, file] => {
                history(&connected(&site).await, keys, Path::new(file), orders).await;
            }
            ["lead", key, file] => {
                leader::lead(&connected(&site).await, key, Path::new(file), orders).await;
            }
            ["fight", keys, tasks, file] => {
                let locker = site.locker().await;
                fighter::fight(&locker, keys, tasks, Path::new(file), orders).await;
            }
            _ => panic!("unknown command {command:?}"),
        }
    });
}

/// A client of its own, for a process that is frozen at any time: one that was while it connected may be told that the
/// server does not answer, for its system call was interrupted.
async fn connected(site: &Site) -> Locker {
    loop {
        match site.builder().connect().await {
            Err(error) if error.is_retryable() => sleep(Duration::from_millis(50)).await,
            connected => return connected.unwrap(),
        }
    }
}

/// Takes a key for the process that comes with the token, and ends.
async fn into_token(locker: &Locker, key: &str) {
    let guard = locker.lock(key).ttl(10 * TTL).acquire().await.unwrap();
    let fence = guard.fence().unwrap();
    println!("{} {fence}", guard.into_token().await.unwrap());
    std::process::exit(0);
}

/// Takes over what a token stands for, and holds it until told to release it.
async fn adopt(locker: &Locker, token: &str, mut orders: Orders) {
    let guard = locker.adopt(token.parse().unwrap()).await.unwrap();
    println!("held {} {}", guard.key(), guard.fence().unwrap());
    assert_eq!(orders.recv().await.as_deref(), Some("release"));
    guard.release().await.unwrap();
    println!("released");
}

/// What we are told. Without anybody to tell us, there is nothing left to do.
fn hear() -> Orders {
    let (told, orders) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = told.send(line);
        }
        std::process::exit(0);
    });
    orders
}

/// The lock on these terms: `owner=ada`, `ttl=max`, times in milliseconds.
fn with(lock: Lock, terms: &[&str]) -> Lock {
    let millis = |time: &str| match time {
        "max" => Duration::MAX,
        time => Duration::from_millis(time.parse().unwrap()),
    };
    terms.iter().fold(lock, |lock, term| match term.split_once('=').unwrap() {
        ("owner", owner) => lock.owner(owner),
        ("ttl", time) => lock.ttl(millis(time)),
        ("min_hold", time) => lock.min_hold(millis(time)),
        ("retry_every", time) => lock.retry_every(millis(time)),
        (term, _) => panic!("unknown term {term}"),
    })
}

/// Waits for a key and holds it until told to release it or until it is lost; says what happened.
async fn hold(lock: &Lock, mut orders: Orders) {
    println!("waits");
    let guard = lock.acquire().await.unwrap();
    println!("held {}", clock::now());
    let lost = guard.lost();
    tokio::select! {
        order = orders.recv() => match order.as_deref() {
            Some("is lost?") => println!("{}", guard.is_lost()),
            Some("release") => match guard.release().await {
                Ok(()) => println!("released"),
                Err(Error::Lost { reason, .. }) => println!("lost: {reason}"),
                Err(error) => panic!("{error}"),
            },
            other => panic!("told {other:?}"),
        },
        info = lost => println!("lost: {}", info.reason),
    }
}

/// Does something that is to be done once in a day, and says so.
async fn once(locker: &Locker, key: &str, end: &str) {
    let lock = locker.lock(key).once_per(Duration::from_secs(86_400));
    let patience = if end == "again" { Duration::ZERO } else { TTL };
    match lock.timeout(patience).acquire().await {
        Ok(guard) => {
            println!("runs");
            if end == "complete" {
                guard.complete().await.unwrap();
                println!("completed");
            }
        }
        Err(Error::Timeout { stage: Stage::Done, .. }) => println!("done already"),
        Err(error) => panic!("{error}"),
    }
    std::future::pending().await
}

/// Writes the time into a file, over and over, while it holds the key.
async fn beat(locker: &Locker, key: &str, file: &Path) {
    let lock = locker.lock(key).timeout(Wait::Forever);
    let history = Writer::append(file);
    // The clock is read before the body is polled, and so before it is looked whether the lock is held: a process that
    // is frozen in the middle of a poll writes down a time from before it.
    let (tick, mut ticks) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(10)).await;
            if let Err(mpsc::error::TrySendError::Closed(_)) = tick.try_send(clock::now()) {
                return;
            }
        }
    });
    let ended = lock.run(async |_| {
        let hold = history.acquired("beat", clock::now(), None);
        println!("held {}", clock::now());
        // It does not ask whether the lock is lost: that it runs at all is the answer.
        while let Some(at) = ticks.recv().await {
            history.works(hold, at);
        }
    });
    match ended.await {
        Ok(()) => {}
        Err(Error::Lost { reason, .. }) => {
            history.lost(0);
            println!("lost: {reason}");
        }
        Err(error) => panic!("{error}"),
    }
}

/// Takes fenced keys, and writes down which token it had from when to when.
async fn tokens(locker: &Locker, tasks: u32, times: u32, keys: u32, file: &Path) {
    let file = Arc::new(std::fs::File::create(file).unwrap());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let (locker, file) = (locker.clone(), Arc::clone(&file));
        workers.spawn(async move {
            for _ in 0..times {
                let key = fastrand::u32(0..keys);
                let guard = locker.lock(key).fenced().timeout(Wait::Forever).acquire().await;
                let guard = guard.unwrap();
                let (from, token) = (clock::now(), guard.fence().unwrap());
                tokio::task::yield_now().await;
                let line = format!("{key} {token} {from} {}\n", clock::now());
                (&*file).write_all(line.as_bytes()).unwrap();
                guard.release().await.unwrap();
            }
        });
    }
    workers.join_all().await;
    println!("done");
}

/// Adds to the number in a file, without any protection but the lock's.
async fn increment(locker: &Locker, key: &str, file: &Path, times: &str) {
    for _ in 0..times.parse::<u32>().unwrap() {
        let guard = locker.lock(key).acquire().await.unwrap();
        let number = std::fs::read_to_string(file).unwrap().parse::<u32>().unwrap();
        tokio::task::yield_now().await;
        std::fs::write(file, (number + 1).to_string()).unwrap();
        guard.release().await.unwrap();
    }
    println!("done");
}

fn increment_blocking(locker: &Locker, key: &str, file: &Path, times: &str) {
    for _ in 0..times.parse::<u32>().unwrap() {
        let guard = locker.lock(key).acquire_blocking().unwrap();
        let number = std::fs::read_to_string(file).unwrap().parse::<u32>().unwrap();
        std::thread::yield_now();
        std::fs::write(file, (number + 1).to_string()).unwrap();
        guard.release_blocking().unwrap();
    }
    println!("done");
}

/// Takes keys and writes down when it held which, two workers for each of the keys 0 to KEYS,
/// until told to stop.
async fn history(locker: &Locker, keys: &str, file: &Path, mut orders: Orders) {
    let history = Arc::new(Writer::append(file));
    let (stop, stopped) = tokio::sync::watch::channel(());
    let mut workers = tokio::task::JoinSet::new();
    for key in 0..keys.parse::<u32>().unwrap() {
        for _ in 0..2 {
            let (locker, history, stopped) =
                (locker.clone(), Arc::clone(&history), stopped.clone());
            workers.spawn(async move {
                while stopped.has_changed().is_ok() {
                    write_down_one(&locker, &key.to_string(), &history).await;
                }
            });
        }
    }
    drop(stopped);
    println!("begun");
    assert_eq!(orders.recv().await.as_deref(), Some("stop"));
    drop(stop);
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    println!("done");
}

async fn write_down_one(locker: &Locker, key: &str, history: &Writer) {
    let wait = Duration::from_millis(fastrand::u64(0..500));
    let guard = match locker.lock(key).timeout(wait).acquire().await {
        Ok(guard) => guard,
        Err(Error::Timeout { .. }) => return sleep(Duration::from_millis(1)).await,
        // The chaos cuts connections and restarts servers.
        Err(error) if error.is_retryable() => return sleep(Duration::from_millis(20)).await,
        Err(error) => panic!("{error}"),
    };
    let Some(at) = surely_held(&guard) else { return };
    let hold = history.acquired(key, at, guard.fence());
    let end = Instant::now() + Duration::from_millis(fastrand::u64(0..4));
    let work = async {
        while Instant::now() < end {
            sleep(Duration::from_millis(1)).await;
            if let Some(at) = surely_held(&guard) {
                history.works(hold, at);
            }
        }
    };
    let at = match guard.protect(work).await {
        Ok(()) => surely_held(&guard),
        Err(_) => None,
    };
    let Some(at) = at else { return history.lost(hold) };
    history.releases(hold, at);
    if guard.release().await.is_err() {
        history.lost(hold);
    }
}

/// A time at which this guard's lock was held; it is a little past.
pub(crate) fn surely_held(guard: &Guard) -> Option<u64> {
    let at = clock::now();
    (!guard.is_lost()).then_some(at)
}
