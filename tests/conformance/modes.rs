//! Locks to read and to write, and the other modes where a database has them.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dlock::{Error, Lock, Locker, Mode};
use dlock_tests::{Backend, Site, not_run};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(10);

/// The error, if it comes before anything is asked of the database.
fn refused_at_once(lock: &Lock) -> Option<Error> {
    match pin!(lock.acquire()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => Some(error),
        _ => None,
    }
}

/// Two lockers, where the database has shared locks.
pub(crate) async fn readers(site: &Site) -> Option<(Locker, Locker)> {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    if let Some(error) = refused_at_once(&ours.lock("probe").shared()) {
        not_run("shared locks", &error.to_string());
        return None;
    }
    Some((ours, theirs))
}

/// Whether the lock can be had now.
pub(crate) async fn is_free(lock: Lock) -> bool {
    match lock.try_acquire().await.unwrap() {
        Some(guard) => {
            guard.release().await.unwrap();
            true
        }
        None => false,
    }
}

pub(crate) async fn one_that_is_missing_is_refused_before_anything_is_asked(site: Site) {
    let locker = site.locker().await;
    let (mut present, mut errors) = (Vec::new(), Vec::new());
    for mode in Mode::ALL {
        match refused_at_once(&locker.lock("k").mode(mode)) {
            None => present.push(mode),
            Some(error) => errors.push((mode, error)),
        }
    }
    assert!(present.contains(&Mode::Exclusive));
    match site.backend {
        Some(Backend::Memory) => assert_eq!(present, Mode::ALL),
        Some(Backend::Sqlite) => assert_eq!(present, [Mode::Exclusive]),
        Some(Backend::Mssql) => assert_eq!(present, [Mode::Shared, Mode::Update, Mode::Exclusive]),
        Some(Backend::Oracle) => {
            let all_but_update = Mode::ALL.into_iter().filter(|mode| *mode != Mode::Update);
            assert_eq!(present, all_but_update.collect::<Vec<_>>());
        }
        _ => assert!(!present.contains(&Mode::Update)),
    }
    for (mode, error) in errors {
        let Error::Unsupported { what, instead, .. } = &error else { panic!("{error}") };
        assert_eq!(**what, format!("{mode} locks"));
        let named = instead.strip_prefix("it has ").and_then(|rest| rest.strip_suffix(" ones"));
        let named: HashSet<&str> = named.unwrap().split(" and ").collect();
        let present: Vec<String> = present.iter().map(Mode::to_string).collect();
        assert_eq!(named, present.iter().map(String::as_str).collect());
        // Nobody has been put in line for it.
        assert!(is_free(locker.lock("k")).await);
    }
}

pub(crate) async fn guard_says_its_own(site: Site) {
    let locker = site.locker().await;
    for mode in Mode::ALL {
        let lock = locker.lock("k").mode(mode);
        if refused_at_once(&lock).is_none() {
            let guard = lock.timeout(PATIENCE).acquire().await.unwrap();
            assert_eq!(guard.mode(), mode);
            guard.release().await.unwrap();
        }
    }
}

pub(crate) async fn readers_share_and_keep_writers_out(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    for other in [&ours, &theirs] {
        let first = ours.lock("k").shared().acquire().await.unwrap();
        let second = other.lock("k").shared().try_acquire().await.unwrap().unwrap();
        for locker in [&ours, &theirs] {
            assert!(is_free(locker.lock("k").shared()).await);
            assert!(!is_free(locker.lock("k")).await);
        }
        first.release().await.unwrap();
        for locker in [&ours, &theirs] {
            assert!(!is_free(locker.lock("k")).await);
        }
        second.release().await.unwrap();
        for locker in [&ours, &theirs] {
            assert!(is_free(locker.lock("k")).await);
        }
    }
}

pub(crate) async fn writer_keeps_readers_out(site: Site) {
    let Some((ours, theirs)) = readers(&site).await else { return };
    let writer = ours.lock("k").acquire().await.unwrap();
    for locker in [&ours, &theirs] {
        assert!(!is_free(locker.lock("k").shared()).await);
        let lock = locker.lock("k").shared().timeout(Duration::from_millis(50));
        assert!(lock.acquire().await.unwrap_err().is_timeout());
    }
    writer.release().await.unwrap();
    for locker in [&ours, &theirs] {
        assert!(is_free(locker.lock("k").shared()).await);
    }
}

pub(crate) async fn go_together_as_the_table_says(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    for held in Mode::ALL {
        for wanted in Mode::ALL {
            for locker in [&theirs, &ours] {
                let guard = ours.lock("k").mode(held).acquire().await.unwrap();
                let free = is_free(locker.lock("k").mode(wanted)).await;
                assert_eq!(free, held.is_compatible_with(wanted), "{held}, then {wanted}");
                guard.release().await.unwrap();
            }
        }
    }
}

/// Who holds the key in which mode, by what the holders themselves say.
#[derive(Default)]
struct Holders(Mutex<Vec<Mode>>);

impl Holders {
    fn enter(&self, mode: Mode) {
        let mut modes = self.0.lock().unwrap();
        let all_go = modes.iter().all(|other| other.is_compatible_with(mode));
        assert!(all_go, "{mode} came to {modes:?}");
        modes.push(mode);
    }

    fn leave(&self, mode: Mode) {
        let mut modes = self.0.lock().unwrap();
        let at = modes.iter().position(|other| *other == mode).unwrap();
        modes.swap_remove(at);
    }
}

/// Callers of all modes at once: tries, waits that are given up, guards that are dropped.
pub(crate) async fn holders_always_go_together(site: Site) {
    for most in [8, 3, 2] {
        let holders: Arc<[Holders; 2]> = Arc::default();
        let mut callers = JoinSet::new();
        for _ in 0..2 {
            let locker = site.builder().max_sessions(most).connect().await.unwrap();
            for _ in 0..8 {
                let (locker, holders) = (locker.clone(), Arc::clone(&holders));
                callers.spawn(async move {
                    for _ in 0..50 {
                        let (key, mode) =
                            (fastrand::usize(..2), fastrand::choice(Mode::ALL).unwrap());
                        let lock = locker.lock(key as u64).mode(mode).timeout(PATIENCE);
                        let time = Duration::from_millis(fastrand::u64(1..30));
                        let guard = match fastrand::u8(..4) {
                            0 => lock.try_acquire().await.unwrap(),
                            1 => timeout(time, lock.acquire()).await.ok().map(Result::unwrap),
                            _ => Some(lock.acquire().await.unwrap()),
                        };
                        let Some(guard) = guard else { continue };
                        holders[key].enter(mode);
                        sleep(Duration::from_micros(fastrand::u64(..800))).await;
                        holders[key].leave(mode);
                        if fastrand::bool() {
                            guard.release().await.unwrap();
                        }
                    }
                });
            }
        }
        callers.join_all().await;
        let other = site.locker().await;
        for key in 0..2_u64 {
            let guard = other.lock(key).timeout(PATIENCE).acquire().await.unwrap();
            guard.release().await.unwrap();
        }
    }
}
