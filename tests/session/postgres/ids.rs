//! The server's own ids of keys: part of the contract with other programs.

use std::sync::Arc;

use dlock::{Error, Key, KeyScheme, Locker, NativeKey};
use dlock_tests::{Site, Witness};

/// What `pg_locks` shows for a key without a namespace.
const IDS: [(&str, i64); 2] =
    [("user:42", -9_028_972_112_616_151_079), ("usér:42", -4_468_258_934_871_049_861)];

/// As the manual says to read it: a 64-bit key is two halves, with objsubid 1.
const HELD: &str = "SELECT (classid::int8 << 32) | objid::int8 FROM pg_locks l \
    JOIN pg_stat_activity a USING (pid) \
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND a.application_name = $1";

async fn locker(site: &Site) -> Locker {
    Locker::builder(&site.url).application_name(&site.name).connect().await.unwrap()
}

pub(crate) async fn are_pinned(site: Site) {
    let locker = locker(&site).await;
    let mut witness = Witness::at(&site.url).await;
    for (key, id) in
        IDS.map(|(key, id)| (Key::from(key), id)).into_iter().chain([(Key::native(7), 7)])
    {
        let guard = locker.lock(&key).acquire().await.unwrap();
        assert_eq!(witness.number(HELD, &site).await, id, "{key}");
        guard.release().await.unwrap();
        assert_eq!(witness.locks(&site).await, 0);
    }
}

pub(crate) async fn exclude_locks_taken_by_hand(site: Site) {
    let locker = locker(&site).await;
    let mut witness = Witness::at(&site.url).await;
    for (key, id) in IDS {
        witness.run(&format!("SELECT pg_advisory_lock({id})")).await;
        assert!(locker.lock(key).try_acquire().await.unwrap().is_none());
        witness.run(&format!("SELECT pg_advisory_unlock({id})")).await;
        let guard = locker.lock(key).try_acquire().await.unwrap().unwrap();
        guard.release().await.unwrap();
    }
}

pub(crate) async fn are_those_of_the_key_scheme(site: Site) {
    let mut witness = Witness::at(&site.url).await;
    let pals = |app: &str| KeyScheme::Pals { app: app.to_owned() };
    let custom = KeyScheme::Custom(Arc::new(|_: &Key| NativeKey::Id(-42)));
    for (scheme, id) in [
        (KeyScheme::SqlalchemyDlock, -9_028_972_112_616_151_079),
        (pals("my-app"), 4_962_556_931_055_713_310),
        (pals(""), 2_999_901_834_984_681_901),
        (KeyScheme::PostgresqlLock, -5_912_860_019_488_284_375),
        (custom, -42),
    ] {
        let builder = Locker::builder(&site.url).application_name(&site.name);
        let locker = builder.key_scheme(scheme).connect().await.unwrap();
        for (key, id) in [(Key::from("user:42"), id), (Key::native(7), 7)] {
            let guard = locker.lock(key).acquire().await.unwrap();
            assert_eq!(witness.number(HELD, &site).await, id, "{locker:?}");
            guard.release().await.unwrap();
        }
        locker.close().await;
    }
}

pub(crate) async fn without_an_id_there_is_no_lock(site: Site) {
    let named = KeyScheme::Custom(Arc::new(|key: &Key| match key.as_str() {
        Some("good") => NativeKey::Id(1),
        _ => NativeKey::Name("bad".to_owned()),
    }));
    let builder = Locker::builder(&site.url).application_name(&site.name).key_scheme(named);
    let locker = builder.connect().await.unwrap();
    let lock = locker.lock("k");
    let check = |error: Error| {
        assert!(
            matches!(&error, Error::InvalidKey { key, .. } if *key == Key::from("k")),
            "{error:?}"
        );
        assert!(error.to_string().contains("lock \"k\"") && !error.is_retryable(), "{error}");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidInput);
    };
    check(lock.acquire().await.unwrap_err());
    check(lock.try_acquire().await.unwrap_err());
    check(lock.run(async |_| panic!("it ran")).await.map(|(): ()| ()).unwrap_err());
    let blocking = lock.clone();
    dlock_tests::on_a_thread(move || {
        check(blocking.acquire_blocking().unwrap_err());
        check(blocking.try_acquire_blocking().unwrap_err());
        check(blocking.run_blocking(|_| panic!("it ran")).map(|(): ()| ()).unwrap_err());
    });
    locker.lock("good").acquire().await.unwrap().release().await.unwrap();
}
