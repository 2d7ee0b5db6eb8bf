//! The server's own names of keys: MySQL ignores case, and neither takes long ones.

use std::sync::Arc;
use std::time::Duration;

use dlock::{Key, KeyScheme, Locker, NativeKey};
use dlock_tests::{Backend, Site, Witness, timeout_with_holder};

pub(crate) async fn are_apart_whatever_the_server_thinks(site: Site) {
    let ours = site.locker().await;
    let theirs = site.named("theirs").locker().await;
    let mut keys: Vec<String> = [
        "user", "User", "USER", "user ", " user", "usér", "useŕ", "user\0", "", " ", "🔒", "'",
        "\\",
    ]
    .map(str::to_owned)
    .to_vec();
    for length in [63, 64, 65, 66, 1000] {
        keys.extend([
            "x".repeat(length),
            "X".repeat(length),
            format!("{}y", "x".repeat(length - 1)),
            "é".repeat(length),
        ]);
    }
    let mut held = Vec::new();
    for key in &keys {
        held.push(ours.lock(key).try_acquire().await.unwrap().unwrap());
    }
    assert_eq!(Witness::at(&site.url).await.locks(&site).await, i64::try_from(keys.len()).unwrap());
    for key in &keys {
        assert!(theirs.lock(key).try_acquire().await.unwrap().is_none(), "{key:?}");
    }
    for guard in held {
        guard.release().await.unwrap();
    }
    for key in &keys {
        drop(theirs.lock(key).try_acquire().await.unwrap().unwrap());
    }
}

/// The server has one space of names for all its databases: a caller that waits for a lock that somebody in
/// another one has is told so.
pub(crate) async fn of_another_database_are_said_to_be(site: Site) {
    let other = site.named("staging");
    let (ours, theirs) = (site.locker().await, other.locker().await);
    let _held = theirs.lock("k").acquire().await.unwrap();
    let wait = Duration::from_millis(300);
    let error = timeout_with_holder(&ours.lock("k").timeout(wait)).await.to_string();
    let (_, database) = other.url.rsplit_once('/').unwrap();
    let database = database.split('?').next().unwrap();
    assert!(error.contains(&format!("\"{database}\"")) && error.contains("namespace"), "{error}");
    // With a namespace, they are apart.
    let apart = site.builder().namespace("production").connect().await.unwrap();
    apart.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();

    // In one database there is nothing to say.
    let same = site.locker().await;
    let held = ours.lock("same").acquire().await.unwrap();
    let error = timeout_with_holder(&same.lock("same").timeout(wait)).await.to_string();
    assert!(error.contains("connection ") && !error.contains("namespace"), "{error}");
    held.release().await.unwrap();
}

/// By the name and the statement that the locker itself tells.
pub(crate) async fn exclude_locks_taken_by_hand(site: Site) {
    let locker = Locker::connect(&site.url).await.unwrap();
    let mut witness = Witness::at(&site.url).await;
    let key = format!("{}:it's é", site.namespace);
    let explained = locker.explain(&key);
    let NativeKey::Name(name) = explained.native else { panic!("no name") };
    witness.run(&format!("DO GET_LOCK('{name}', 0)")).await;
    assert!(locker.lock(&key).try_acquire().await.unwrap().is_none());
    witness.run(&format!("DO RELEASE_LOCK('{name}')")).await;
    assert_eq!(witness.holder(&name).await, None);
    let guard = locker.lock(&key).try_acquire().await.unwrap().unwrap();
    let holder = witness.holder(&name).await;
    assert!(holder.is_some());
    let by_hand =
        format!("SELECT CAST(connection_id AS SIGNED) FROM ({}) t WHERE ? <> ''", explained.sql);
    assert_eq!(Some(witness.number(&by_hand, &site).await), holder);
    guard.release().await.unwrap();
    assert_eq!(witness.holder(&name).await, None);
}

/// Names that a scheme has made, on one session: it would be granted what it has once more.
pub(crate) async fn that_are_one_to_the_server_exclude_each_other(site: Site) {
    let prefix = site.namespace.clone();
    let scheme = KeyScheme::Custom(Arc::new(move |key: &Key| {
        NativeKey::Name(format!("{prefix} {}", key.as_str().unwrap()))
    }));
    let locker = Locker::builder(&site.url).key_scheme(scheme).connect().await.unwrap();
    let lower = locker.lock("straße").acquire().await.unwrap();
    let upper = locker.lock("STRAßE").try_acquire().await.unwrap();
    assert_eq!(upper.is_some(), site.backend == Some(Backend::MariaDb));
    drop(upper);
    lower.release().await.unwrap();
    let upper = locker.lock("STRAßE").acquire().await.unwrap();
    assert_eq!(Witness::at(&site.url).await.locks(&site).await, 1);
    upper.release().await.unwrap();
}
