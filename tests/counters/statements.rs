//! Statements and round trips, as they go over the wire.

use std::time::Duration;

use dlock::Locker;
use dlock_tests::{Proxy, Site, on_a_thread};
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;

use crate::bounds::{STATEMENTS_IN_A_CROWD, TASKS, assert_at_most};
use crate::wire::plain;

const PAIRS: u64 = 200;
/// Pairs of each task of many.
const ROUNDS: u64 = 50;

/// What has been asked since.
struct Since<'a> {
    proxy: &'a Proxy,
    statements: u64,
    round_trips: u64,
}

impl<'a> Since<'a> {
    fn now(proxy: &'a Proxy) -> Self {
        Since { proxy, statements: proxy.statements(), round_trips: proxy.round_trips() }
    }

    /// Statements and round trips.
    fn counts(&self) -> (u64, u64) {
        let statements = self.proxy.statements() - self.statements;
        (statements, self.proxy.round_trips() - self.round_trips)
    }

    /// So many statements, each a round trip.
    #[track_caller]
    fn assert(&self, statements: u64) {
        assert_eq!(self.counts(), (statements, statements));
    }
}

pub(crate) async fn acquire_and_release_are_one_each(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    let locker = site.through(proxy.url()).locker().await;
    // The first time, statements are prepared.
    locker.lock("first").acquire().await.unwrap().release().await.unwrap();
    // A server that is silent for seconds is asked again, elsewhere: that only adds.
    let mut least = (u64::MAX, u64::MAX);
    for keys in [PAIRS, 1, 1] {
        let since = Since::now(&proxy);
        for pair in 0..PAIRS {
            locker.lock(pair % keys).acquire().await.unwrap().release().await.unwrap();
        }
        least = least.min(since.counts());
    }
    assert_eq!(least, (2 * PAIRS, 2 * PAIRS));
}

pub(crate) async fn all_of_many_are_one(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    let locker = site.through(proxy.url()).locker().await;
    let all = locker.lock_all(0..TASKS);
    // The first time, statements are prepared.
    all.acquire().await.unwrap().release().await.unwrap();
    let since = Since::now(&proxy);
    for pairs in 1..=20 {
        all.acquire().await.unwrap().release().await.unwrap();
        since.assert(2 * pairs);
    }
}

pub(crate) async fn fifty_keys_are_one_each_way(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    let locker = site.through(proxy.url()).locker().await;
    let all = locker.lock_all(0..50);
    // The first time, statements are prepared.
    all.acquire().await.unwrap().release().await.unwrap();
    let mut least = [(u64::MAX, u64::MAX); 2];
    for _ in 0..3 {
        let since = Since::now(&proxy);
        let guard = all.acquire().await.unwrap();
        least[0] = least[0].min(since.counts());
        let since = Since::now(&proxy);
        guard.release().await.unwrap();
        least[1] = least[1].min(since.counts());
    }
    assert_eq!(least, [(1, 1); 2]);
}

pub(crate) async fn single_try_is_one(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    let locker = site.through(proxy.url()).locker().await;
    let theirs = site.named("theirs").locker().await;
    let held = theirs.lock("held").acquire().await.unwrap();
    // The first time, statements are prepared.
    assert!(locker.lock("held").try_acquire().await.unwrap().is_none());
    locker.lock("free").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    let mut least = [(u64::MAX, u64::MAX); 2];
    for _ in 0..3 {
        let since = Since::now(&proxy);
        assert!(locker.lock("held").try_acquire().await.unwrap().is_none());
        least[0] = least[0].min(since.counts());
        let since = Since::now(&proxy);
        let guard = locker.lock("free").try_acquire().await.unwrap().unwrap();
        least[1] = least[1].min(since.counts());
        guard.release().await.unwrap();
    }
    held.release().await.unwrap();
    assert_eq!(least, [(1, 1); 2]);
}

pub(crate) async fn upgrade_is_one(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    let locker = site.through(proxy.url()).locker().await;
    let mut least = (u64::MAX, u64::MAX);
    for _ in 0..4 {
        let mut guard = locker.lock("k").shared().acquire().await.unwrap();
        let since = Since::now(&proxy);
        guard.upgrade().await.unwrap();
        // The first time, statements are prepared.
        least = least.min(since.counts());
        guard.release().await.unwrap();
    }
    assert_eq!(least, (1, 1));
}

/// A try, and a wait that lasts until the lock is free.
pub(crate) async fn contended_wait_is_two(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    let locker = site.through(proxy.url()).locker().await;
    let theirs = site.named("theirs").locker().await;
    let mut least = (u64::MAX, u64::MAX);
    // In the first round the session that waits is opened, and statements are prepared. A key that was
    // fought over a moment ago is not tried first, so each round has its own.
    for key in 0..5 {
        let held = theirs.lock(key).acquire().await.unwrap();
        let since = Since::now(&proxy);
        let lock = locker.lock(key).timeout(Duration::from_secs(30));
        let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
        tokio::time::sleep(Duration::from_millis(100)).await;
        held.release().await.unwrap();
        let guard = waiting.await.unwrap();
        least = least.min(since.counts());
        guard.release().await.unwrap();
    }
    assert_eq!(least, (2, 2));
}

/// Runs this on a runtime of one thread, the engine too: there it is certain what comes first.
fn in_turn<F: Future<Output = ()>>(site: Site, body: impl FnOnce(Locker) -> F + Send + 'static) {
    on_a_thread(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            body(site.builder().runtime(Handle::current()).connect().await.unwrap()).await;
        });
    });
}

pub(crate) async fn release_in_the_background_goes_with_the_next_acquire(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    in_turn(site.through(proxy.url()), async move |locker| {
        let mut guard = locker.lock("first").acquire().await.unwrap();
        drop(guard);
        // The first time, statements are prepared.
        guard = locker.lock("second").acquire().await.unwrap();
        let since = Since::now(&proxy);
        for key in 1..=PAIRS {
            drop(guard);
            guard = locker.lock(key).acquire().await.unwrap();
            since.assert(key);
        }
    });
}

/// Many tasks, each with keys of its own.
async fn crowd(locker: &Locker) {
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let locker = locker.clone();
        tasks.spawn(async move {
            for pair in 0..ROUNDS {
                let lock = locker.lock(format!("{task}:{pair}"));
                lock.acquire().await.unwrap().release().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

pub(crate) async fn tasks_in_step_share_each(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    in_turn(site.through(proxy.url()), async move |locker| {
        // The first time, statements are prepared.
        crowd(&locker).await;
        let since = Since::now(&proxy);
        crowd(&locker).await;
        since.assert(2 * ROUNDS);
    });
}

pub(crate) async fn tasks_in_a_crowd_share_most(site: Site) {
    let proxy = Proxy::to(&plain(&site)).await;
    let locker = site.through(proxy.url()).locker().await;
    let since = Since::now(&proxy);
    crowd(&locker).await;
    let each = since.counts().0 as f64 / (TASKS * ROUNDS) as f64;
    assert_at_most(STATEMENTS_IN_A_CROWD, each, "statements a pair");
}
