//! A lock that goes from one process to another.

use std::time::{Duration, SystemTime};

use dlock::{Error, Guard, LeaseOptions, Locker, LostReason, Token};
use dlock_tests::{Proxy, Site, eventually, eventually_async, in_time, on_a_thread, taker};

use crate::rows::Rows;

const SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(15);
const MINUTE: Duration = Duration::from_secs(60);

fn is_lost(outcome: &dlock::Result<Guard>) -> bool {
    matches!(outcome, Err(Error::Lost { reason: LostReason::NotHeld, .. }))
}

async fn token(locker: &Locker, key: &str) -> Token {
    let guard = locker.lock(key).ttl(MINUTE).acquire().await.unwrap();
    guard.into_token().await.unwrap()
}

/// One process takes it and ends; the next one works under it and releases it.
pub(crate) async fn outlasts_the_process_that_took_it(site: Site) {
    let mut request = taker!(site, "into-token", "k");
    let said = request.line().await;
    let (text, fence) = said.split_once(' ').unwrap();
    eventually("it has ended", SOON, || request.ended().is_some()).await;
    let locker = site.locker().await;
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    // Somebody waits for it meanwhile, in the process that will have it too.
    let waits = locker.lock("k").timeout(MINUTE);
    let waiting = tokio::spawn(async move { waits.acquire().await.unwrap() });
    let mut worker = taker!(site, "adopt", text);
    assert_eq!(worker.line().await, format!("held k {fence}"));
    let row = Rows::of(&site).await.row(&locker, "k").await;
    assert!(row.owner.starts_with(&site.name), "{}", row.owner);
    // It has worked once.
    assert!(is_lost(&locker.adopt(text.parse().unwrap()).await));
    assert!(!waiting.is_finished());
    worker.tell("release");
    worker.says("released").await;
    let next = in_time("the next grant", SOON, waiting).await.unwrap();
    assert!(next.fence() > Some(fence.parse().unwrap()));
    next.release().await.unwrap();
}

/// In the process that adopts it, it is a guard like any other.
pub(crate) async fn adopted_guard_is_renewed_and_passes_on(site: Site) {
    let (ours, theirs) = (site.ttl(SECOND).locker().await, site.locker().await);
    let guard = ours.lock("k").acquire().await.unwrap();
    let fence = guard.fence();
    let made = SystemTime::now();
    let token = guard.into_token().await.unwrap();
    assert_eq!((token.key(), token.fence()), (&"k".into(), fence));
    let left = token.expires_at().unwrap().duration_since(made).unwrap();
    assert!(left >= SECOND - Duration::from_millis(1) && left < SECOND + SOON, "{left:?}");
    // A caller that waits in the process that adopts goes on waiting, and gets the lock after the release.
    let waits = theirs.lock("k").timeout(MINUTE);
    let waiting = tokio::spawn(async move { waits.acquire().await.unwrap() });
    eventually_async("it waits", SOON, async || {
        let status = theirs.status().await.unwrap();
        status.iter().any(|status| !status.waiters.is_empty())
    })
    .await;
    let adopted = theirs.adopt(token).await.unwrap();
    assert_eq!((adopted.fence(), adopted.key()), (fence, &"k".into()));
    assert!(ours.lock("k").try_acquire().await.unwrap().is_none());
    tokio::time::sleep(2 * SECOND).await;
    adopted.verify().await.unwrap();
    assert!(!waiting.is_finished());
    // Once more, and back, from sync code.
    let locker = ours.clone();
    let back = on_a_thread(move || {
        let token = adopted.into_token_blocking().unwrap();
        locker.adopt_blocking(token).unwrap()
    });
    assert_eq!(back.fence(), fence);
    back.release().await.unwrap();
    let next = in_time("the next grant", SOON, waiting).await.unwrap();
    assert!(next.fence() > fence);
    next.release().await.unwrap();
    ours.close().await;
    theirs.close().await;
}

pub(crate) async fn token_that_is_not_adopted_runs_out(site: Site) {
    let locker = site.locker().await;
    let options = || LeaseOptions::new().ttl(SECOND);
    let short = site.builder().lease_options(options()).connect().await.unwrap();
    let token = short.lock("k").acquire().await.unwrap().into_token().await.unwrap();
    // Its process renews it no more, nor gives it back as it ends.
    short.clone().close().await;
    let closed = short.adopt(token.clone()).await;
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    let next = locker.lock("k").timeout(SOON).acquire().await.unwrap();
    assert!(next.fence() > token.fence());
    assert!(is_lost(&locker.adopt(token.clone()).await));
    next.verify().await.unwrap();
    next.release().await.unwrap();
    assert!(is_lost(&locker.adopt(token).await));
}

/// Nor by what the row, status and errors show.
pub(crate) async fn others_cannot_make_it(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let token = token(&ours, "k").await;
    let owner = Rows::of(&site).await.row(&ours, "k").await.owner;
    let text = token.to_string();
    let secret = text.split('.').nth(3).unwrap();
    assert!(!owner.contains(secret), "{owner}");
    assert!(!format!("{:?}", theirs.status().await.unwrap()).contains(secret));
    let shown = owner.rsplit('/').next().unwrap();
    for forged in [text.replace(secret, shown), text.replace(secret, &"0".repeat(32))] {
        assert!(is_lost(&theirs.adopt(forged.parse().unwrap()).await), "{forged}");
    }
    // At once by many, it is one's.
    let (mut all, mut adopted) = (tokio::task::JoinSet::new(), Vec::new());
    for n in 0..8 {
        let (locker, token) = ([&ours, &theirs][n % 2].clone(), token.clone());
        all.spawn(async move { locker.adopt(token).await });
    }
    while let Some(outcome) = all.join_next().await {
        match outcome.unwrap() {
            Ok(guard) => adopted.push(guard),
            refused => assert!(is_lost(&refused), "{refused:?}"),
        }
    }
    assert_eq!(adopted.len(), 1);
    adopted.pop().unwrap().release().await.unwrap();
}

/// A body that has taken its lock again cannot give it away under the one who called it.
pub(crate) async fn inner_guard_cannot_be_handed_over(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").reentrant();
    let body = async |outer: &Guard| {
        let inner = lock.acquire().await.unwrap();
        let refused = inner.into_token().await;
        assert!(matches!(refused, Err(Error::Config { .. })), "{refused:?}");
        outer.verify().await.unwrap();
    };
    lock.run(body).await.unwrap();
    let guard = lock.acquire().await.unwrap();
    locker.break_lock("k").await.unwrap();
    let lost = guard.into_token().await;
    assert!(matches!(lost, Err(Error::Lost { .. })), "{lost:?}");
}

/// A caller that gives up leaves nothing that stays taken.
pub(crate) async fn dropped_halfway_leaves_nothing(site: Site) {
    let site = site.ttl(MINUTE);
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let dropped = |time: u64| tokio::time::sleep(Duration::from_micros(time));
    for round in 0..20 {
        let guard = ours.lock("k").timeout(SOON).acquire().await.unwrap();
        tokio::select! {
            token = guard.into_token() => drop(theirs.adopt(token.unwrap()).await.unwrap()),
            () = dropped(round * 150) => {}
        }
        let guard = theirs.lock("k").timeout(SOON).acquire().await.unwrap();
        let token = guard.into_token().await.unwrap();
        tokio::select! {
            adopted = ours.adopt(token.clone()) => drop(adopted.unwrap()),
            () = dropped(round * 150) => match theirs.adopt(token).await {
                Ok(again) => again.release().await.unwrap(),
                refused => assert!(is_lost(&refused), "{refused:?}"),
            }
        }
    }
    let last = ours.lock("k").timeout(SOON).acquire().await.unwrap();
    last.release().await.unwrap();
}

/// After an error it is released, as far as the server can be told.
pub(crate) async fn server_that_does_not_answer_is_told_later(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let ours = site.through(proxy.url()).ttl(3 * SECOND).locker().await;
    let theirs = site.locker().await;
    let guard = ours.lock("k").acquire().await.unwrap();
    proxy.go_silent();
    let error = in_time("an answer", 2 * SOON, guard.into_token()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. } | Error::Lost { .. }), "{error:?}");
    proxy.come_back();
    let next = theirs.lock("k").timeout(2 * SOON).acquire().await.unwrap();
    next.release().await.unwrap();
}
