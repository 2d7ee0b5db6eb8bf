//! Observers: what they are told, and where.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dlock::{Error, Holder, LostInfo, Mode, ObservedLock, ObservedLocker, Observer};
use dlock_tests::{Backend, Site, eventually, in_time};

const SOON: Duration = Duration::from_secs(20);
const SLOW: Duration = Duration::from_millis(100);

/// What it is told, as text; the thread that it is told on.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, what: &str, lock: &ObservedLock) {
        assert_eq!(thread::current().name(), Some("dlock-observer"));
        self.0.lock().unwrap().push(format!("{what} {} {}", lock.key, lock.label));
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn until(&self, what: &str) {
        eventually(what, SOON, || self.all().iter().any(|told| told.starts_with(what))).await;
    }
}

impl Observer for Notes {
    fn acquired(&self, lock: &ObservedLock, waited: Duration) {
        assert!(waited < SOON && lock.mode == Mode::Exclusive);
        assert!(!lock.locker.backend.is_empty() && !lock.locker.server.is_empty());
        self.add("acquired", lock);
    }

    fn busy(&self, lock: &ObservedLock, _: Option<&Holder>) {
        self.add("busy", lock);
    }

    fn timed_out(&self, lock: &ObservedLock, waited: Duration, holder: Option<&Holder>) {
        assert!(waited >= 3 * SLOW && holder.is_some());
        self.add("timed_out", lock);
    }

    fn failed(&self, lock: &ObservedLock, error: &Error) {
        assert!(matches!(error, Error::Config { .. }), "{error}");
        self.add("failed", lock);
    }

    fn slow_wait(&self, lock: &ObservedLock, waited: Duration, holder: Option<&Holder>) {
        assert!(waited >= SLOW && holder.is_some());
        self.add("slow_wait", lock);
    }

    fn long_hold(&self, lock: &ObservedLock, held: Duration) {
        assert!(held >= SLOW);
        self.add("long_hold", lock);
    }

    fn released(&self, lock: &ObservedLock, held: Duration) {
        assert!(held < SOON);
        self.add("released", lock);
    }

    fn lost(&self, lock: &ObservedLock, info: &LostInfo) {
        assert_eq!(info.key, lock.key);
        self.add("lost", lock);
    }

    fn session_opened(&self, _: &ObservedLocker) {
        self.0.lock().unwrap().push("session_opened".to_owned());
    }

    fn session_closed(&self, _: &ObservedLocker) {
        self.0.lock().unwrap().push("session_closed".to_owned());
    }
}

pub(crate) async fn is_told_what_happens(site: Site) {
    let notes = Notes::default();
    let builder = site.builder().slow_wait(SLOW).max_hold(2 * SLOW).observer(notes.clone());
    let locker = builder.connect().await.unwrap();
    let lock = locker.lock("k").label("kind").timeout(3 * SLOW);
    let guard = lock.acquire().await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    assert!(lock.acquire().await.unwrap_err().is_timeout());
    guard.release().await.unwrap();
    lock.permits(0).acquire().await.unwrap_err();
    notes.until("failed").await;
    let told = notes.all();
    assert_eq!(told[0], "session_opened");
    let of_lock: Vec<_> = told.iter().filter(|told| !told.starts_with("session")).collect();
    let all = ["acquired", "busy", "slow_wait", "long_hold", "timed_out", "released", "failed"];
    let all = all.map(|what| format!("{what} k kind"));
    assert_eq!(of_lock, all.iter().collect::<Vec<_>>());

    let guard = locker.lock("lost").acquire().await.unwrap();
    let other = site.locker().await;
    assert!(other.break_lock("lost").await.unwrap());
    if site.backend == Some(Backend::Memory) {
        guard.verify().await.unwrap_err();
    }
    in_time("the loss", SOON, guard.lost()).await;
    notes.until("lost lost").await;
    locker.close().await;
    notes.until("session_closed").await;
}

/// An observer whose first event panics, and so does its drop.
struct Panics(Sender<&'static str>);

impl Observer for Panics {
    fn acquired(&self, _: &ObservedLock, _: Duration) {
        self.0.send("acquired").unwrap();
        panic!("of an observer");
    }

    fn released(&self, _: &ObservedLock, _: Duration) {
        self.0.send("released").unwrap();
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        assert_eq!(thread::current().name(), Some("dlock-observer"));
        self.0.send("dropped").unwrap();
        panic!("of the drop of an observer");
    }
}

async fn next(told: Receiver<&'static str>) -> (Receiver<&'static str>, &'static str) {
    tokio::task::spawn_blocking(move || {
        let next = told.recv_timeout(SOON).expect("it is told");
        (told, next)
    })
    .await
    .unwrap()
}

/// A panic of the user's code is its own, and so is its drop.
pub(crate) async fn that_panics_harms_nobody(site: Site) {
    let (tell, mut told) = channel();
    let locker = site.builder().observer(Panics(tell)).connect().await.unwrap();
    for _ in 0..3 {
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
        for what in ["acquired", "released"] {
            let (rest, next) = next(told).await;
            told = rest;
            assert_eq!(next, what);
        }
    }
    locker.close().await;
    assert_eq!(next(told).await.1, "dropped");
}

/// An observer that blocks until it may go on.
struct Blocks(Mutex<Receiver<()>>);

impl Observer for Blocks {
    fn acquired(&self, _: &ObservedLock, _: Duration) {
        let _ = self.0.lock().unwrap().recv();
    }
}

pub(crate) async fn that_blocks_delays_nobody(site: Site) {
    let (go_on, blocked) = channel();
    let builder = site.builder().observer(Blocks(Mutex::new(blocked)));
    let locker = builder.connect().await.unwrap();
    let locks = async {
        for n in 0..100 {
            locker.lock(n).acquire().await.unwrap().release().await.unwrap();
        }
    };
    in_time("a hundred locks", SOON, locks).await;
    in_time("the end of closing", SOON, locker.close()).await;
    drop(go_on);
}
