//! What can be seen of locks.

use std::time::Duration;

use dlock::{Error, Key, Mode};
use dlock_tests::{Backend, Site, eventually_async};

const PATIENCE: Duration = Duration::from_secs(10);

/// MariaDB shows locks only with a plugin; what it shows without is told by its own tests.
fn shows_locks(site: &Site) -> bool {
    !site.backend.is_some_and(Backend::is_mariadb)
}

pub(crate) async fn held_key_is_shown_with_its_holder(site: Site) {
    let locker = site.locker().await;
    let key = Key::from("seen");
    let native = locker.explain(&key).native;
    let of_this = async || {
        let status = locker.status().await.unwrap();
        status.into_iter().find(|status| status.native == native)
    };
    assert_eq!(of_this().await, None, "nobody has it yet");

    let guard = locker.lock(&key).acquire().await.unwrap();
    if shows_locks(&site) {
        let status = of_this().await.expect("it is held");
        assert_eq!((&status.key, status.mode), (&key, Mode::Exclusive));
        assert_eq!(status.holders.len(), 1, "{status:?}");
        assert!(!status.holders[0].who.is_empty());
        assert!(status.waiters.is_empty(), "{status:?}");
    }
    guard.release().await.unwrap();
    assert_eq!(of_this().await, None, "it has been released");
    locker.close().await;
}

pub(crate) async fn waiter_is_shown(site: Site) {
    if site.backend.is_some_and(Backend::is_lease) || !shows_locks(&site) {
        // Who waits for a lease asks now and then, and is not to be seen.
        return;
    }
    let locker = site.locker().await;
    let other = site.named("other").locker().await;
    let guard = locker.lock("queue").acquire().await.unwrap();
    let native = locker.explain("queue").native;

    let waiter = tokio::spawn(async move { other.lock("queue").acquire().await });
    eventually_async("the waiter is shown", PATIENCE, async || {
        let status = locker.status().await.unwrap();
        let seen = status.into_iter().find(|status| status.native == native).unwrap();
        assert_eq!(seen.holders.len(), 1, "{seen:?}");
        seen.waiters.len() == 1
    })
    .await;
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn timeout_names_the_holder(site: Site) {
    let locker = site.locker().await;
    let other = site.named("other").locker().await;
    let guard = locker.lock("taken").acquire().await.unwrap();
    let waited = other.lock("taken").timeout(Duration::from_millis(50)).acquire().await;
    match waited {
        Err(Error::Timeout { holder: Some(holder), .. }) => assert!(!holder.who.is_empty()),
        other => panic!("{other:?}"),
    }
    let waited = locker.lock("taken").timeout(Duration::from_millis(50)).acquire().await;
    let text = waited.unwrap_err().to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    guard.release().await.unwrap();
}

pub(crate) async fn set_up_is_in_order(site: Site) {
    let locker = site.locker().await;
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    // It can be asked while there is work.
    let _guard = locker.lock("k").acquire().await.unwrap();
    assert!(locker.check().await.unwrap().is_ok());
}

pub(crate) async fn closed_locker_says_so(site: Site) {
    let locker = site.locker().await;
    locker.clone().close().await;
    assert!(matches!(locker.status().await, Err(Error::Closed)));
    assert!(matches!(locker.check().await, Err(Error::Closed)));
}
