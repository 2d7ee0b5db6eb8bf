//! Connections, as the server counts them.

use std::task::{Context, Waker};
use std::time::Duration;

use dlock_tests::{Site, Witness, eventually_async};
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn one_holds_a_thousand_keys(site: Site) {
    let mut witness = Witness::at(&site.url).await;
    // A server that is silent for seconds is asked by another connection: that only adds.
    let mut least = i64::MAX;
    for _ in 0..3 {
        let locker = site.locker().await;
        let mut held = Vec::new();
        for key in 0..1000 {
            held.push(locker.lock(key).acquire().await.unwrap());
        }
        assert_eq!(witness.locks(&site).await, 1000);
        least = least.min(witness.sessions(&site).await);
        locker.close().await;
    }
    assert_eq!(least, 1);
}

pub(crate) async fn two_have_a_hundred_wait_for_a_key(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let held = theirs.lock("k").acquire().await.unwrap();
    let lock = ours.lock("k").timeout(Duration::from_secs(30));
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let lock = lock.clone();
        let mut acquire = Box::pin(async move { lock.acquire().await.unwrap().release().await });
        // The first poll asks.
        assert!(acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waiting.spawn(acquire);
    }
    let waits = async || witness.waits(&site).await == 1;
    eventually_async("they wait", SOON, waits).await;
    // Whatever they had the engine do, it has begun before this.
    ours.lock("other").acquire().await.unwrap().release().await.unwrap();
    assert_eq!((witness.waits(&site).await, witness.sessions(&site).await), (1, 2));
    held.release().await.unwrap();
    waiting.join_all().await.into_iter().for_each(Result::unwrap);
    assert_eq!(witness.sessions(&site).await, 2);
}
