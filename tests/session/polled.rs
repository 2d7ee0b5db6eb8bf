//! `retry_every`: a key that is asked for by tries, with no statement that waits.

use std::time::{Duration, Instant};

use dlock::Error;
use dlock_tests::{Proxy, Site, Witness, eventually_async, in_time};
use tokio::task::JoinSet;

const MS: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_secs(10);

/// Looks for a while that nobody waits in the server.
async fn nobody_waits(witness: &mut Witness, site: &Site) {
    for _ in 0..20 {
        assert_eq!(witness.waits(site).await, 0, "a statement waits");
        tokio::time::sleep(20 * MS).await;
    }
}

pub(crate) async fn key_is_had_and_no_statement_waits(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let plain = site.locker().await;
    let all = site.builder().retry_every(50 * MS).connect().await.unwrap();
    let mut witness = Witness::at(&site.url).await;
    // The second time, the key was fought over a moment ago.
    for _ in 0..2 {
        for lock in [plain.lock("k").retry_every(50 * MS), all.lock("k")] {
            let held = theirs.lock("k").acquire().await.unwrap();
            let lock = lock.timeout(3 * SOON);
            let waiting = tokio::spawn(async move { lock.acquire().await });
            nobody_waits(&mut witness, &site).await;
            held.release().await.unwrap();
            let guard = in_time("the grant", SOON, waiting).await.unwrap().unwrap();
            assert!(theirs.lock("k").try_acquire().await.unwrap().is_none());
            guard.release().await.unwrap();
        }
    }
    // Without it, one does.
    let held = theirs.lock("k").acquire().await.unwrap();
    let lock = plain.lock("k").timeout(3 * SOON);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    eventually_async("it waits", SOON, async || witness.waits(&site).await == 1).await;
    held.release().await.unwrap();
    drop(waiting.await.unwrap().unwrap());
}

/// So do those who wait for a permit, or for several keys.
pub(crate) async fn permits_and_several_keys_are_too(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.builder().retry_every(50 * MS).timeout(3 * SOON).connect().await.unwrap();
    let more = site.builder().retry_every(50 * MS).timeout(3 * SOON).connect().await.unwrap();
    let mut witness = Witness::at(&site.url).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(theirs.lock("p").permits(2).acquire().await.unwrap());
    }
    held.push(theirs.lock("b").acquire().await.unwrap());
    let mut waiting = JoinSet::new();
    for locker in [&ours, &more] {
        let (permit, several) = (locker.lock("p").permits(2), locker.lock_all(["a", "b"]));
        waiting.spawn(async move { permit.acquire().await.unwrap().release().await.unwrap() });
        waiting.spawn(async move { several.acquire().await.unwrap().release().await.unwrap() });
    }
    nobody_waits(&mut witness, &site).await;
    drop(held);
    in_time("all are served", SOON, waiting.join_all()).await;
}

pub(crate) async fn pause_is_kept(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let proxy = Proxy::to(&site.url).await;
    let ours = site.through(proxy.url()).builder().retry_every(400 * MS).connect().await.unwrap();
    let held = theirs.lock("k").acquire().await.unwrap();
    let (before, start) = (proxy.round_trips(), Instant::now());
    let lock = ours.lock("k").timeout(1700 * MS);
    let error = lock.acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(start.elapsed() >= 1700 * MS);
    // At 0, 0.4, 0.8, 1.2, 1.6 and 1.7 s; and the question who has it, signs of life, and what is
    // prepared for them. Without a pause of the caller's it would be some 60.
    let asked = proxy.round_trips() - before;
    assert!((2..=16).contains(&asked), "{asked}");
    held.release().await.unwrap();

    // One that is longer than the wait: the last try is made when the time is up.
    let held = theirs.lock("k").acquire().await.unwrap();
    let lock = ours.lock("k").timeout(3000 * MS).retry_every(10 * SOON);
    let (got, freed) = tokio::join!(lock.acquire(), async {
        tokio::time::sleep(100 * MS).await;
        held.release().await
    });
    freed.unwrap();
    got.unwrap().release().await.unwrap();

    let error = ours.lock("k").retry_every(Duration::ZERO).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
    let error = site.builder().retry_every(Duration::ZERO).connect().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
}
