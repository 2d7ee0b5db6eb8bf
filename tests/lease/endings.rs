//! How a lease ends before its holder does.

use std::future::pending;
use std::time::Duration;

use dlock::{Error, LeaseOptions, LostReason};
use dlock_tests::{Proxy, Site, clock, in_time, taker, unique};
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::rows::Rows;

const MS: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_secs(15);

pub(crate) async fn without_renewal_it_expires(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").ttl(700 * MS).auto_renew(false);
    let guard = lock.acquire().await.unwrap();
    guard.verify().await.unwrap();
    let lost = in_time("the loss", SOON, guard.lost()).await;
    assert_eq!(lost.reason, LostReason::Expired);
    assert!(guard.is_lost());
    assert!(guard.release().await.unwrap_err().is_lost());
    // One that is released before has an end like any other.
    lock.acquire().await.unwrap().release().await.unwrap();
    assert!(!Rows::of(&site).await.row(&locker, "k").await.is_held());
}

pub(crate) async fn protected_body_is_dropped_when_it_expires(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").ttl(700 * MS).auto_renew(false);
    let ended = in_time("the end", SOON, lock.run(async |_| pending::<()>().await)).await;
    match ended.unwrap_err() {
        Error::Lost { reason, .. } => assert_eq!(reason, LostReason::Expired),
        error => panic!("{error}"),
    }
}

/// The database grants it when nobody wants it any more, and its locker is gone too: that is no
/// grant to be kept for its `min_hold`.
pub(crate) async fn try_that_was_dropped_with_its_locker_keeps_nothing(site: Site) {
    let theirs = site.locker().await;
    let mut dropped = 0;
    for n in 0..10 {
        let (ours, key) = (site.locker().await, format!("k{n}"));
        let lock = ours.lock(&*key).min_hold(Duration::from_secs(3600));
        let mut trying = Box::pin(lock.try_acquire());
        tokio::select! {
            biased;
            // It was too fast, and is kept.
            answer = &mut trying => {
                drop(answer.unwrap().expect("nobody else wants it"));
                continue;
            }
            () = yield_now() => dropped += 1,
        }
        // Its answer may come meanwhile, and goes nowhere.
        sleep(n * MS / 2).await;
        drop(trying);
        drop((lock, ours));
        let again = theirs.lock(&*key).timeout(SOON);
        let guard = in_time("the key", SOON, again.acquire()).await;
        guard.unwrap().release().await.unwrap();
    }
    assert!(dropped > 0, "each answer came before its caller went");
}

/// Who has lost it knows so before another one has it.
pub(crate) async fn next_holder_comes_after_the_loss(site: Site) {
    let locker = site.locker().await;
    for renew in [true, false] {
        let key = format!("renew {renew}");
        let lock = locker.lock(&*key).ttl(900 * MS).auto_renew(renew);
        let guard = lock.acquire().await.unwrap();
        let mut next = taker!(site, "hold", key);
        next.says("waits").await;
        let mut rows = Rows::of(&site).await;
        if renew {
            // Nobody can renew it, nor take it, for a while.
            rows.lock(&locker, &key).await;
        }
        // On a busy machine it may be lost by now.
        let mut last = 0;
        loop {
            // First the clock: this process can be stopped between the two.
            let now = clock::now();
            if guard.is_lost() {
                break;
            }
            last = now;
            sleep(MS).await;
        }
        if renew {
            rows.unlock().await;
        }
        let held = next.line().await;
        let held: u64 = held.strip_prefix("held ").unwrap().parse().unwrap();
        assert!(held > last, "{} ns before the loss, with renew={renew}", last - held);
    }
}

/// It asks again when the lease should be over, however rarely it asks otherwise.
pub(crate) async fn waiter_is_woken_by_the_end_of_a_lease(site: Site) {
    let mut holder = taker!(site, "hold", "k", "ttl=1000");
    holder.says("waits").await;
    assert!(holder.line().await.starts_with("held"));
    let locker = site.locker().await;
    let lock = locker.lock("k").retry_every(10 * SOON).timeout(20 * SOON);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    sleep(300 * MS).await;
    holder.kill();
    let woken = in_time("the end of the lease", SOON, waiting).await;
    woken.unwrap().unwrap().release().await.unwrap();
}

/// A renewal whose answer does not come is repeated on another connection, before the lease ends.
pub(crate) async fn silent_connection_is_replaced_in_time(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let ttl = 4500 * MS;
    let locker = site.through(proxy.url()).ttl(ttl).locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let connections = proxy.connections();
    proxy.forget_open();
    tokio::select! {
        lost = guard.lost() => panic!("{lost:?}"),
        () = sleep(ttl * 3 / 2) => {}
    }
    assert_eq!(proxy.connections(), connections + 1);
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

/// Ok means that the database has confirmed it. That the lease has run out since then is no answer: with
/// `once_per`, another one may do the work again.
pub(crate) async fn release_that_nobody_confirms_is_not_ok(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let ttl = 2000 * MS;
    let locker = site.through(proxy.url()).ttl(ttl).locker().await;
    let plain = locker.lock("k").acquire().await.unwrap();
    let once = locker.lock("once").once_per(30 * ttl).acquire().await.unwrap();
    proxy.go_silent();
    let ends = async { tokio::join!(plain.release(), once.complete()) };
    // Though the statement that is on its way may take longer.
    let (plain, once) = in_time("the end of the leases", 3 * ttl, ends).await;
    for error in [plain.unwrap_err(), once.unwrap_err()] {
        assert!(matches!(error, Error::Lost { reason: LostReason::Unconfirmed, .. }), "{error}");
    }
}

/// A cluster that loses a node stands still for a fifth of the ttl that it should have: longer than
/// that is let pass here.
pub(crate) async fn server_that_stands_still_costs_nothing(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let ttl = 6000 * MS;
    let locker = site.through(proxy.url()).ttl(ttl).locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    // Around the first renewal.
    sleep(ttl / 3 - 500 * MS).await;
    proxy.go_silent();
    sleep(ttl / 4).await;
    proxy.come_back();
    tokio::select! {
        lost = guard.lost() => panic!("{lost:?}"),
        () = sleep(ttl) => {}
    }
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

/// As if the database's clock had been set forward: the holder learns of it at the next renewal, of
/// all that is held.
pub(crate) async fn clock_that_was_set_forward_is_noticed(site: Site) {
    // Of its own: others have leases in the usual one.
    let table = unique("forward").replace('-', "_");
    let options = LeaseOptions::new().ttl(Duration::from_secs(6)).table(&table);
    let locker = site.builder().lease_options(options).connect().await.unwrap();
    let mut guards = Vec::new();
    for key in ["a", "b", "c"] {
        guards.push(locker.lock(key).acquire().await.unwrap());
        // Each has a time of its own to be renewed.
        sleep(Duration::from_millis(700)).await;
    }
    let mut rows = Rows::of(&site).await;
    let start = std::time::Instant::now();
    rows.run(&format!("UPDATE {table} SET expires_at = acquired_at")).await;
    let mut lost = Vec::new();
    for guard in &guards {
        let info = in_time("the loss", Duration::from_secs(5), guard.lost()).await;
        assert_eq!(info.reason, LostReason::NotHeld);
        lost.push(start.elapsed());
    }
    // The first one to be renewed tells for all, and long before they are due to end.
    assert!(lost.iter().all(|time| *time < Duration::from_secs(4)), "{lost:?}");
    let spread = *lost.iter().max().unwrap() - *lost.iter().min().unwrap();
    assert!(spread < Duration::from_millis(500), "{lost:?}");
    locker.close().await;
    rows.run(&format!("DROP TABLE {table}")).await;
}
