//! Events in the normal course, and of losses: their names, fields and spans.

use std::time::Duration;

use dlock::{Locker, Mode};
use dlock_tests::{Backend, Site, eventually, in_time};
use tracing::{Instrument as _, Level, Span, debug_span};

use crate::recorder::{Told, is_open, listen, names, told, told_of};

const SOON: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_millis(600);

/// A span that the recorder knows by this name.
fn span(name: &str) -> Span {
    debug_span!("of a test", is = name)
}

/// The event of this name of this key.
fn one(site: &Site, key: &str, name: &str) -> Told {
    let mut found = told_of(&site.namespace, key);
    found.retain(|told| told.name == name);
    assert_eq!(found.len(), 1, "{name} of {key}: {found:?}");
    found.remove(0)
}

/// The kind of the database, as in its URL.
fn backend(site: &Site) -> String {
    let scheme = site.url.split(':').next().unwrap();
    scheme.replace("postgresql", "postgres")
}

pub(crate) async fn of_a_guard_are_in_its_callers_span(site: Site) {
    listen();
    let locker = site.locker().await;
    let lock = locker.lock("k").label("kind");
    let guard = lock.acquire().instrument(span("takes")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    guard.release().instrument(span("releases")).await.unwrap();
    let dropped = lock.acquire().instrument(span("takes")).await.unwrap();
    span("drops").in_scope(|| drop(dropped));

    assert_eq!(names(&site.namespace, "k"), ["acquired", "released", "acquired", "released"]);
    let told = told_of(&site.namespace, "k");
    let spans: Vec<_> = told.iter().map(|told| told.span.as_deref().unwrap()).collect();
    assert_eq!(spans, ["takes", "releases", "takes", "drops"]);
    for told in &told {
        assert_eq!(told.level, Level::DEBUG);
        assert_eq!(told.text("message"), Some(told.name));
        assert_eq!(told.text("lock"), Some("kind"));
        assert_eq!(told.text("mode"), Some("exclusive"));
        assert_eq!(told.text("backend").unwrap(), backend(&site));
    }
    assert!(told[0].number("waited_ms") < 60_000);
    assert!((30..60_000).contains(&told[1].number("held_ms")), "{told:?}");
}

pub(crate) async fn of_a_wait_in_vain_name_the_holder(site: Site) {
    listen();
    let (ours, theirs) = (site.locker().await, site.namespace(&site.namespace).locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    let wait = Duration::from_millis(300);
    let waits = ours.lock("k").timeout(wait);
    let error = waits.acquire().instrument(span("waits")).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(ours.lock("k").try_acquire().instrument(span("tries")).await.unwrap().is_none());
    let blocking = waits.clone();
    let error = tokio::task::spawn_blocking(move || {
        span("blocks").in_scope(|| blocking.acquire_blocking()).unwrap_err()
    });
    assert!(error.await.unwrap().is_timeout());

    let mut told = told_of(&site.namespace, "k");
    told.retain(|told| told.span.is_some());
    let of: Vec<_> = told.iter().map(|told| (told.name, told.span.as_deref().unwrap())).collect();
    assert_eq!(of, [("timed_out", "waits"), ("busy", "tries"), ("timed_out", "blocks")]);
    assert!((300..60_000).contains(&told[0].number("waited_ms")), "{told:?}");
    assert!(told.iter().all(|told| told.level == Level::DEBUG));
    assert_eq!(told[0].text("stage"), Some("held by another session of the database"));
    // The name is looked up for a moment only, which a busy machine may miss.
    let has_name = |told: &Told| told.text("holder").is_some_and(|holder| !holder.is_empty());
    let named = || told_of(&site.namespace, "k").iter().any(has_name);
    for _ in 0..20 {
        if !named() {
            waits.acquire().await.unwrap_err();
        }
    }
    assert!(named(), "no holder is named");
    held.release().await.unwrap();
}

/// Takes the lock away from its holder.
async fn take_away(site: &Site, key: &str) {
    let other = site.locker().await;
    assert!(other.break_lock(key).await.unwrap());
    other.close().await;
}

pub(crate) async fn of_a_loss_are_in_the_span_of_the_guard(site: Site) {
    listen();
    let site = if site.backend.unwrap().is_lease() { site.ttl(TTL) } else { site };
    let locker = site.locker().await;
    let guard = locker.lock("k").acquire().instrument(span("takes")).await.unwrap();
    let lost = guard.lost();
    take_away(&site, "k").instrument(span("takes away")).await;
    if site.backend == Some(Backend::Memory) {
        // There is nothing there that could tell the locker before it asks.
        let verified = guard.verify().instrument(span("verifies")).await;
        assert!(verified.unwrap_err().is_lost());
    }
    in_time("the loss", SOON, lost).await;
    // The engine says so a moment later.
    let told = || names(&site.namespace, "k").contains(&"lost");
    eventually("the loss is told", SOON, told).await;
    assert!(guard.release().instrument(span("releases")).await.unwrap_err().is_lost());
    let lost = one(&site, "k", "lost");
    assert_eq!(lost.level, Level::WARN);
    assert_eq!(lost.span.as_deref(), Some("takes"));
    assert!(lost.number("held_ms") < 60_000);
    assert!(
        lost.text("reason").is_some_and(|reason| reason.starts_with("the database")),
        "{lost:?}"
    );
    assert_eq!(names(&site.namespace, "k"), ["acquired", "lost"]);
}

pub(crate) async fn of_several_keys_are_one_for_each(site: Site) {
    listen();
    let locker = site.locker().await;
    let lock = locker.lock_all(["b", "a"]).label("both");
    let guard = lock.acquire().instrument(span("takes")).await.unwrap();
    assert!(lock.try_acquire().await.unwrap().is_none());
    guard.release().instrument(span("releases")).await.unwrap();
    for key in ["a", "b"] {
        let mut told = told_of(&site.namespace, key);
        told.retain(|told| told.name != "busy");
        let of: Vec<_> =
            told.iter().map(|told| (told.name, told.span.as_deref().unwrap())).collect();
        assert_eq!(of, [("acquired", "takes"), ("released", "releases")], "{key}");
        assert!(told.iter().all(|told| told.text("lock") == Some("both")));
    }
    // The first that was not to be had stands for all.
    let busy = told(&site.namespace).into_iter().filter(|told| told.name == "busy");
    assert_eq!(busy.count(), 1);
}

/// Their parts are nobody's.
pub(crate) async fn of_permits_are_of_the_callers_only(site: Site) {
    listen();
    let locker = site.locker().await;
    let lock = locker.lock("p").permits(2).timeout(Duration::from_millis(200));
    let both = [lock.acquire().await.unwrap(), lock.acquire().await.unwrap()];
    assert!(lock.acquire().await.unwrap_err().is_timeout());
    for guard in both {
        guard.release().await.unwrap();
    }
    let told: Vec<_> =
        told(&site.namespace).iter().filter(|told| told.text("key").is_some()).cloned().collect();
    let names: Vec<_> = told.iter().map(|told| told.name).collect();
    assert_eq!(names, ["acquired", "acquired", "timed_out", "released", "released"]);
    assert!(told.iter().all(|told| told.text("key") == Some("p")));
}

pub(crate) async fn of_a_lock_taken_again_are_of_the_first(site: Site) {
    listen();
    let locker = site.locker().await;
    let lock = locker.lock("k").reentrant();
    lock.run(async |_| lock.acquire().await.unwrap().release().await.unwrap()).await.unwrap();
    assert_eq!(names(&site.namespace, "k"), ["acquired", "released"]);
}

/// A span ends with its last handle: no guard that is gone keeps one, nor what waits for its loss.
pub(crate) async fn keep_no_span_open(site: Site) {
    listen();
    let locker: Locker = site.locker().await;
    let mut losses = Vec::new();
    for (n, in_background) in [(0, false), (1, true)] {
        let name = format!("{}-{n}", site.namespace);
        let guard = locker.lock(n).acquire().instrument(span(&name)).await.unwrap();
        assert_eq!(guard.mode(), Mode::Exclusive);
        assert!(is_open(&name), "it is that of the guard's loss");
        losses.push(guard.lost());
        if in_background {
            drop(guard);
        } else {
            guard.release().await.unwrap();
        }
        assert!(!is_open(&name), "{n}");
    }
}
