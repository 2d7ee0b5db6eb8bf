//! Holders that the server does not hear of, and servers that do not answer.

use std::time::{Duration, Instant};

use dlock::{Error, LostReason};
use dlock_tests::{
    Proxy, Signal, Site, Temp, Witness, clock, eventually_async, history, in_time, is_about, taker,
};
use tokio::runtime::Handle;
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(2);
/// When the next one must have the lock at the latest.
const LIMIT: Duration = Duration::from_secs(12);

pub(crate) async fn frozen_holder_loses_the_lock_and_knows_before_it_runs_on(site: Site) {
    let folder = Temp::new();
    let file = folder.file("beats");
    let locker = site.named("ours").locker().await;
    let mut taker = taker!(site.ttl(TTL), "beat", "k", file.display());
    assert!(taker.line().await.starts_with("held"));
    // Long enough for heartbeats: it is not the first word that counts.
    sleep(Duration::from_millis(1500)).await;
    taker.signal(Signal::STOP);
    let guard = in_time("the lock of the frozen one", LIMIT, async {
        locker.lock("k").timeout(2 * LIMIT).acquire().await.unwrap()
    })
    .await;
    let granted = clock::now();
    guard.verify().await.unwrap();
    assert_eq!(taker.said(), None);
    taker.signal(Signal::CONT);
    assert!(taker.line().await.starts_with("lost"));
    for beat in history::read(&file, "the frozen one", false) {
        assert!(beat.until < granted, "it ran on {} ns after the grant", beat.until - granted);
    }
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

/// Nobody knows whether the lock is held: that is not "it is not held", and it is said in time.
pub(crate) async fn questions_to_a_silent_server_end_in_time(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    proxy.go_silent();
    let (verified, status, check) = tokio::join!(
        in_time("an answer", Duration::from_secs(8), guard.verify()),
        in_time("an answer", Duration::from_secs(8), locker.status()),
        in_time("an answer", Duration::from_secs(13), locker.check()),
    );
    let verified = verified.unwrap_err();
    is_about(&verified, "k");
    for error in [verified, status.unwrap_err(), check.unwrap_err()] {
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }
    assert!(!guard.is_lost(), "its time is not up yet");
    proxy.come_back();
    in_time("the server", Duration::from_secs(20), async {
        while let Err(error) = guard.verify().await {
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        }
    })
    .await;
    guard.release().await.unwrap();
}

/// The proxy swallows everything, both ways, and neither side sees its connection end.
pub(crate) async fn holder_that_is_cut_off_knows_before_the_next_one_comes(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let cut_off = site.through(proxy.url()).ttl(TTL).locker().await;
    let locker = site.named("ours").locker().await;
    let held = cut_off.lock("k").acquire().await.unwrap();
    let protected = {
        let guard = cut_off.lock("body").acquire().await.unwrap();
        tokio::spawn(async move {
            let mut ran = 0;
            let body = async {
                loop {
                    ran = clock::now();
                    sleep(Duration::from_millis(1)).await;
                }
            };
            let ended: dlock::Result<()> = guard.protect(body).await;
            (ended.unwrap_err(), ran)
        })
    };
    sleep(Duration::from_millis(1500)).await;
    assert!(!held.is_lost());
    let silence = Instant::now();
    proxy.go_silent();
    let lost = tokio::spawn(held.lost());
    let wait = 2 * LIMIT;
    let guard = in_time("the lock", LIMIT, locker.lock("k").timeout(wait).acquire()).await.unwrap();
    let granted = clock::now();
    assert!(held.is_lost());
    assert!(silence.elapsed() <= LIMIT);
    in_time("news of the loss", Duration::from_secs(3), lost).await.unwrap();
    let soon = Duration::from_secs(3);
    let (error, ran) = in_time("the body's end", soon, protected).await.unwrap();
    assert!(error.is_lost(), "{error}");
    assert!(ran < granted, "the body ran {} ns after the next grant", ran - granted);
    // What it says now concerns nobody else.
    assert!(held.release().await.unwrap_err().is_lost());
    proxy.come_back();
    sleep(Duration::from_millis(200)).await;
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    let guard = in_time("a new session", LIMIT, cut_off.lock("k").acquire()).await.unwrap();
    guard.release().await.unwrap();
}

pub(crate) async fn server_that_does_not_answer_is_unavailable_in_time(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    proxy.go_silent();
    let address = proxy.url().rsplit_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    for (wait, limit) in [(Duration::from_secs(1), 2), (Duration::ZERO, 6)] {
        let start = Instant::now();
        let limit = Duration::from_secs(limit);
        let lock = locker.lock("k").timeout(wait);
        let error = in_time("an answer", limit, lock.acquire()).await.unwrap_err();
        assert!(start.elapsed() >= wait, "given up after {:?}", start.elapsed());
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(error.to_string().contains(&address), "{error}");
        is_about(&error, "k");
    }
    proxy.come_back();
    let limit = Duration::from_secs(10);
    let lock = locker.lock("k").timeout(limit);
    in_time("a new session", limit, lock.acquire()).await.unwrap().release().await.unwrap();
}

/// Whether the server has let go, nobody knows before the lock's time is up; and that is what is said.
pub(crate) async fn release_on_a_silent_server_ends_with_the_validity(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let ttl = Duration::from_secs(4);
    let ours = site.through(proxy.url()).ttl(ttl).locker().await;
    let guard = ours.lock("k").acquire().await.unwrap();
    proxy.go_silent();
    let start = Instant::now();
    let error = in_time("an answer", ttl + LIMIT, guard.release()).await.unwrap_err();
    let Error::Lost { reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*reason, LostReason::Unconfirmed, "{error}");
    assert!(start.elapsed() < ttl + Duration::from_secs(3), "after {:?}", start.elapsed());
    proxy.come_back();
}

/// Nobody waits any more, and the order to stop has gone to a connection that is dead: the server
/// shows no waiter soon after, though its statement may last for minutes. The same after `close`, on a
/// runtime of the caller's.
pub(crate) async fn wait_given_up_while_nothing_answers_leaves_the_line(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let held = theirs.lock("k").acquire().await.unwrap();
    let mut witness = Witness::at(&site.url).await;
    for close in [false, true] {
        let proxy = Proxy::to(&site.url).await;
        let builder = site.through(proxy.url()).builder().runtime(Handle::current());
        let ours = builder.connect().await.unwrap();
        let lock = ours.lock("k").timeout(Duration::from_secs(120));
        let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
        eventually_async("it waits", LIMIT, async || witness.waits(&site).await == 1).await;
        // New connections are not hurt.
        proxy.forget_open();
        if close {
            ours.clone().close().await;
        } else {
            waiting.abort();
        }
        eventually_async("the line is empty", LIMIT, async || witness.waits(&site).await == 0)
            .await;
    }
    held.release().await.unwrap();
}
