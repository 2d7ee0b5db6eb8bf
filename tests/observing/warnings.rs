//! Waits and holds that are longer than usual.

use std::time::Duration;

use dlock_tests::{Site, eventually, in_time};
use tracing::{Instrument as _, Level, debug_span};

use crate::recorder::{listen, names, told_of};

const SOON: Duration = Duration::from_secs(20);
const SLOW: Duration = Duration::from_millis(100);

pub(crate) async fn slow_wait_names_the_holder(site: Site) {
    listen();
    let theirs = site.namespace(&site.namespace).locker().await;
    let ours = site.builder().slow_wait(SLOW).connect().await.unwrap();
    for permits in [1, 2] {
        let key = format!("k{permits}");
        let held = theirs.lock(&*key).permits(permits);
        let mut guards = Vec::new();
        for _ in 0..permits {
            guards.push(held.acquire().await.unwrap());
        }
        let lock = ours.lock(&*key).permits(permits).label("kind").timeout(SOON);
        let waits = debug_span!("of a test", is = "waits");
        let waiting = tokio::spawn(async move { lock.acquire().await }.instrument(waits));
        let told = || names(&site.namespace, &key).contains(&"slow_wait");
        // It goes on waiting: the warning is there before its end.
        eventually("it is told", SOON, told).await;
        assert!(!waiting.is_finished());
        drop(guards);
        in_time("the lock", SOON, waiting).await.unwrap().unwrap().release().await.unwrap();
        let mut slow = told_of(&site.namespace, &key);
        slow.retain(|told| told.name == "slow_wait");
        assert_eq!(slow.len(), 1, "{slow:?}");
        let slow = &slow[0];
        assert_eq!(slow.level, Level::WARN);
        assert_eq!(slow.span.as_deref(), Some("waits"));
        assert_eq!(slow.text("lock"), Some("kind"));
        assert!((100..60_000).contains(&slow.number("waited_ms")), "{slow:?}");
        assert!(slow.text("holder").is_some_and(|holder| !holder.is_empty()), "{slow:?}");
    }
}

/// What another task of this process holds, nobody asks the server about.
pub(crate) async fn slow_wait_within_a_process_names_it(site: Site) {
    listen();
    let locker = site.builder().slow_wait(SLOW).connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    let error = locker.lock("k").timeout(3 * SLOW).acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    drop(guard);
    assert_eq!(names(&site.namespace, "k"), ["acquired", "slow_wait", "timed_out", "released"]);
    let slow = &told_of(&site.namespace, "k")[1];
    let holder = slow.text("holder").unwrap();
    assert!(holder.contains(&std::process::id().to_string()), "{holder}");
}

pub(crate) async fn quick_ones_are_not_warned_of(site: Site) {
    listen();
    let limit = Duration::from_secs(2);
    let locker = site.builder().slow_wait(limit).max_hold(limit).connect().await.unwrap();
    for _ in 0..20 {
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
        assert!(locker.lock("k").try_acquire().await.unwrap().is_some());
    }
    tokio::time::sleep(limit + SLOW).await;
    let warned =
        told_of(&site.namespace, "k").iter().filter(|told| told.level == Level::WARN).count();
    assert_eq!(warned, 0);
}

pub(crate) async fn long_hold_is_told_while_it_is_held(site: Site) {
    listen();
    let locker = site.builder().max_hold(SLOW).connect().await.unwrap();
    let takes = debug_span!("of a test", is = "takes");
    let guard = locker.lock("k").label("kind").acquire().instrument(takes).await.unwrap();
    let told = || names(&site.namespace, "k") == ["acquired", "long_hold"];
    eventually("it is told while it is held", SOON, told).await;
    assert!(!guard.is_lost());
    guard.release().await.unwrap();
    let long = &told_of(&site.namespace, "k")[1];
    assert_eq!(long.level, Level::WARN);
    assert_eq!(long.span.as_deref(), Some("takes"));
    assert_eq!(long.text("lock"), Some("kind"));
    assert!((100..60_000).contains(&long.number("held_ms")), "{long:?}");
}
