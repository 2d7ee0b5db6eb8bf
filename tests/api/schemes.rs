//! Keys as other programs name them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlock::{Error, Key, KeyScheme, Locker, NativeKey};

use crate::alone;

/// Nobody listens there, and who connects would say so.
const NOWHERE: &str = "postgres://user:s3cr3t@127.0.0.1:1/db";

fn custom(make: impl Fn(&Key) -> NativeKey + Send + Sync + 'static) -> KeyScheme {
    KeyScheme::Custom(Arc::new(make))
}

async fn refused(url: &str, scheme: KeyScheme, namespace: &str) -> Error {
    let start = Instant::now();
    let builder = Locker::builder(url).key_scheme(scheme).namespace(namespace);
    let error = builder.connect().await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(2), "{error}");
    assert!(!error.to_string().contains("s3cr3t"), "{error}");
    error
}

#[test]
fn scheme_of_another_library_needs_its_database() {
    alone(|| async {
        let folder = dlock_tests::Temp::new();
        let file = folder.file("locks.db");
        for url in ["memory:schemes".to_owned(), format!("sqlite://{}", file.display())] {
            for scheme in [
                KeyScheme::SqlalchemyDlock,
                KeyScheme::Pals { app: "my-app".into() },
                KeyScheme::PostgresqlLock,
            ] {
                let error = refused(&url, scheme, "").await;
                assert!(matches!(error, Error::Unsupported { .. }), "{error}");
                assert!(error.to_string().contains("PostgreSQL"), "{error}");
            }
        }
        // Its leases are on servers: the package itself does not lock on SQLite.
        for url in ["memory:schemes", &format!("sqlite://{}", file.display()), NOWHERE] {
            let error = refused(url, KeyScheme::DjangoDatabaseLocks, "").await;
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            let way_out = if url.starts_with("sqlite") { "PostgreSQL" } else { "lease+" };
            assert!(error.to_string().contains(way_out), "{error}");
        }
        assert!(!file.exists(), "it was refused only after the file was made");
    });
}

#[test]
fn scheme_has_no_namespace() {
    alone(|| async {
        for scheme in [
            KeyScheme::SqlalchemyDlock,
            KeyScheme::Pals { app: "my-app".into() },
            KeyScheme::PostgresqlLock,
            custom(|_| NativeKey::Id(1)),
        ] {
            for url in [NOWHERE, "memory:schemes"] {
                let error = refused(url, scheme.clone(), "billing").await;
                assert!(matches!(error, Error::Config { .. }), "{error}");
                assert!(error.to_string().contains("billing"), "{error}");
            }
        }
        let dlock = Locker::builder("memory:").key_scheme(KeyScheme::Dlock).namespace("billing");
        dlock.connect().await.unwrap().close().await;
    });
}

#[test]
fn custom_scheme_names_the_lock() {
    alone(|| async {
        let scheme = custom(|key| match key.as_str().unwrap_or_default() {
            "one" => NativeKey::Id(1),
            "two" => NativeKey::Pair(1, 2),
            text => NativeKey::Name(text.to_lowercase()),
        });
        let url = "memory:custom";
        let locker = Locker::builder(url).key_scheme(scheme).connect().await.unwrap();
        let plain = Locker::connect(url).await.unwrap();
        for (key, same) in [
            (Key::from("User:42"), Key::from("user:42")),
            (Key::from("one"), Key::native(1)),
            (Key::from("two"), Key::pair(1, 2)),
            (Key::native(5), Key::native(5)),
            (Key::pair(5, 6), Key::pair(5, 6)),
        ] {
            let guard = locker.lock(&key).acquire().await.unwrap();
            assert_eq!(guard.key(), &key);
            assert!(plain.lock(&same).try_acquire().await.unwrap().is_none(), "{key}");
            guard.release().await.unwrap();
            plain.lock(&same).try_acquire().await.unwrap().unwrap().release().await.unwrap();
        }
        // Two keys of one name are one lock, also for what is noticed in the process.
        let nested = locker.lock("A").run(async |_| locker.lock("a").acquire().await.err()).await;
        assert!(matches!(nested, Ok(Some(Error::Reentrant { .. }))), "{nested:?}");
    });
}

#[test]
fn panic_of_a_custom_scheme_is_the_callers() {
    alone(|| async {
        let scheme = custom(|key| match key.as_str() {
            Some("bad") => panic!("no name for {key}"),
            _ => NativeKey::Name(key.to_string()),
        });
        let builder = Locker::builder("memory:panics").key_scheme(scheme);
        let locker = builder.connect().await.unwrap();
        let guard = locker.lock("good").acquire().await.unwrap();
        for _ in 0..3 {
            assert!(catch_unwind(AssertUnwindSafe(|| locker.lock("bad"))).is_err());
        }
        assert!(locker.lock("good").try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
        locker.lock("good").acquire().await.unwrap().release().await.unwrap();
        locker.close().await;
    });
}

#[test]
fn pairs_and_natives_are_keys_of_their_own() {
    alone(|| async {
        let locker = Locker::connect("memory:pairs").await.unwrap();
        let billing = Locker::builder("memory:pairs").namespace("billing").connect().await.unwrap();
        let held = locker.lock(Key::pair(5, 6)).acquire().await.unwrap();
        for other in ["%p5,6", "5,6", "5", "6"].map(Key::from) {
            locker.lock(other).try_acquire().await.unwrap().unwrap().release().await.unwrap();
        }
        for other in [Key::pair(6, 5), Key::native(5), Key::native(5 << 32 | 6)] {
            locker.lock(other).try_acquire().await.unwrap().unwrap().release().await.unwrap();
        }
        // They have no namespace.
        assert!(billing.lock(Key::pair(5, 6)).try_acquire().await.unwrap().is_none());
        held.release().await.unwrap();
    });
}

#[test]
fn bytes_of_a_key() {
    assert_eq!(Key::from(7).as_bytes(), Some(&b"7"[..]));
    assert_eq!(Key::from("é").as_str(), Some("é"));
    assert_eq!(
        (Key::from(b"\xff").as_bytes(), Key::from(b"\xff").as_str()),
        (Some(&b"\xff"[..]), None)
    );
    assert_eq!((Key::native(7).as_bytes(), Key::pair(7, 7).as_str()), (None, None));
}
