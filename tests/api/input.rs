//! Input that cannot be meant, and servers that are not there.

use std::time::{Duration, Instant};

use dlock::{Error, LeaseOptions, Locker};

use crate::alone;

async fn refused(url: &str) -> Error {
    let start = Instant::now();
    let error = Locker::connect(url).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(2), "{url}: {error}");
    error
}

#[test]
fn unknown_scheme() {
    alone(|| async {
        for url in
            ["nonsense://host/db", "", "postgres", "/tmp/locks.db", "http://x", "redis://x", "://x"]
        {
            let error = refused(url).await;
            let text = error.to_string();
            assert!(matches!(error, Error::Config { .. }), "{url}: {text}");
            assert!(text.contains("postgres://") && text.contains("memory:"), "{url}: {text}");
        }
    });
}

#[test]
fn settings_that_cannot_be() {
    alone(|| async {
        let builders = [
            Locker::builder("memory:").max_sessions(0),
            Locker::builder("memory:").session_ttl(Duration::ZERO),
            Locker::builder("memory:").session_ttl(Duration::from_millis(999)),
            Locker::builder("memory:").lease_options(LeaseOptions::new().ttl(Duration::ZERO)),
            Locker::builder("memory:").lease_options(LeaseOptions::new().table("a b")),
            Locker::builder("postgres://a,b/db"),
            Locker::builder("mysql://a,b/db"),
        ];
        for builder in builders {
            let error = builder.connect().await.unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error}");
        }
    });
}

/// A port where nobody listens: that is known at once, and the address is in the text.
#[test]
fn postgres_that_is_not_there() {
    alone(|| async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = refused(&format!("postgres://user:s3cr3t@{address}/db")).await;
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(error.is_retryable());
        assert!(std::error::Error::source(&error).is_some());
    });
}

/// A server that takes the connection and says nothing.
#[test]
fn postgres_that_does_not_answer() {
    alone(|| async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let start = Instant::now();
        let url = format!("postgres://user:s3cr3t@{address}/db");
        let error = Locker::connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        assert!(start.elapsed() < Duration::from_secs(12), "after {:?}", start.elapsed());
    });
}

#[test]
fn closed_locker() {
    alone(|| async {
        let locker = Locker::connect("memory:closed").await.unwrap();
        let lock = locker.lock("k");
        locker.clone().close().await;
        assert!(matches!(lock.acquire().await, Err(Error::Closed)));
        assert!(matches!(lock.try_acquire().await, Err(Error::Closed)));
        assert!(matches!(lock.run(async |_| ()).await, Err(Error::Closed)));
        assert!(matches!(lock.acquire_blocking(), Err(Error::Closed)));
        assert!(matches!(locker.lock("other").try_acquire_blocking(), Err(Error::Closed)));
        locker.close().await;
    });
}

#[test]
fn options_that_do_nothing_are_refused() {
    const TIME: Duration = Duration::from_secs(20);
    alone(|| async {
        let folder = dlock_tests::Temp::new();
        let sqlite = format!("sqlite://{}", folder.file("locks.db").display());
        let lease = LeaseOptions::new;
        for (builder, instead) in [
            (Locker::builder(&sqlite).session_ttl(TIME), "LeaseOptions::ttl"),
            (Locker::builder(&sqlite).max_keys(7), "max_keys"),
            (Locker::builder("memory:nothing").lease_options(lease().ttl(TIME)), "lease+"),
            (Locker::builder("memory:nothing").lease_options(lease().owner("ada")), "owner"),
            (
                Locker::builder("memory:nothing").lease_options(lease().renew_before(TIME / 4)),
                "lease+",
            ),
            (Locker::builder("memory:nothing").lease_options(lease().poll(TIME, TIME)), "lease+"),
        ] {
            let error = builder.connect().await.unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error}");
            assert!(error.to_string().contains(instead), "{error}");
        }
        // The table is that of fencing tokens too.
        let table = lease().table("tokens");
        Locker::builder("memory:nothing").lease_options(table).connect().await.unwrap();
    });
}

/// Whatever one writes for a time, it is taken or refused, and the locker goes on.
#[test]
fn durations_of_any_size() {
    const DAY: Duration = Duration::from_secs(86_400);
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let times = [
        Duration::ZERO,
        Duration::from_nanos(1),
        Duration::from_millis(150),
        DAY,
        400 * DAY,
        CENTURY - Duration::from_nanos(1),
        CENTURY,
        Duration::from_secs(u64::MAX / 1000),
        Duration::MAX,
    ];
    alone(move || async move {
        let folder = dlock_tests::Temp::new();
        let sqlite = format!("sqlite://{}", folder.file("locks.db").display());
        for time in times {
            let lease = LeaseOptions::new;
            for (what, builder) in [
                ("timeout", Locker::builder("memory:times").timeout(time)),
                ("session_ttl", Locker::builder("memory:times").session_ttl(time)),
                (
                    "slice",
                    Locker::builder("memory:times").slice(time.max(Duration::from_millis(9))),
                ),
                ("ttl", Locker::builder(&sqlite).lease_options(lease().ttl(time))),
                (
                    "renew_before",
                    Locker::builder(&sqlite).lease_options(lease().renew_before(time)),
                ),
                (
                    "renew_before for ever",
                    Locker::builder(&sqlite)
                        .lease_options(lease().renew_before(time).ttl(Duration::MAX)),
                ),
                ("poll", Locker::builder(&sqlite).lease_options(lease().poll(time, time))),
                (
                    "poll to",
                    Locker::builder(&sqlite)
                        .lease_options(lease().poll(Duration::from_millis(1), time)),
                ),
            ] {
                let what = format!("{what} of {time:?}");
                let locker = match builder.connect().await {
                    Ok(locker) => locker,
                    Err(Error::Config { .. }) => continue,
                    Err(error) => panic!("{what}: {error}"),
                };
                used(&what, &locker, &locker.lock("k")).await;
                locker.close().await;
            }
            for url in ["memory:times", &sqlite] {
                let locker = Locker::connect(url).await.unwrap();
                for (what, lock) in [
                    ("timeout", locker.lock("k").timeout(time)),
                    ("min_hold", locker.lock(format!("min_hold {time:?}")).min_hold(time)),
                    ("ttl", locker.lock("k").ttl(time)),
                    ("retry_every", locker.lock("k").retry_every(time)),
                    ("permits", locker.lock("k").permits(2).timeout(time)),
                ] {
                    used(&format!("{what} of {time:?} on {url}"), &locker, &lock).await;
                }
                let all = locker.lock_all(["a", "b"]).timeout(time).acquire().await;
                assert!(all.is_ok(), "lock_all {time:?}: {all:?}");
                // Not closed: that would wait for a min_hold.
                drop(locker);
            }
        }
    });
}

/// The lock is taken or refused; others wait for it a moment, and the locker is as it was.
async fn used(what: &str, locker: &Locker, lock: &dlock::Lock) {
    let other = locker.lock("other").acquire().await;
    assert!(other.is_ok(), "{what}: {other:?}");
    match lock.acquire().await {
        Ok(guard) => {
            let moment = Duration::from_millis(5);
            let late = lock.clone().permits(1).timeout(moment).acquire().await;
            assert!(late.is_ok() || late.is_err_and(|error| error.is_timeout()), "{what}");
            drop(guard);
        }
        Err(Error::Config { .. } | Error::Unsupported { .. }) => {}
        Err(error) => panic!("{what}: {error}"),
    }
    let again = locker.lock("again").acquire().await;
    assert!(again.is_ok(), "{what}: {again:?}");
}

/// With PostgreSQL's numbers, an application of that name would meet others' permits.
#[test]
fn namespace_that_is_dlocks_own() {
    alone(|| async {
        let own = Locker::builder("memory:").namespace("dlock beside").connect().await.unwrap_err();
        assert!(matches!(own, Error::Config { .. }), "{own}");
        assert!(own.to_string().contains("dlock beside"), "{own}");
    });
}

/// What others hold is no business of a try's.
#[test]
fn refused_try_takes_no_longer_with_many_locks() {
    alone(|| async {
        let locker = Locker::connect("memory:switch-many").await.unwrap();
        let _held = locker.lock("held").acquire().await.unwrap();
        let tries = async || {
            let mut least = Duration::MAX;
            for _ in 0..20 {
                let start = Instant::now();
                for _ in 0..50 {
                    assert!(locker.lock("held").try_acquire().await.unwrap().is_none());
                }
                least = least.min(start.elapsed());
            }
            least
        };
        let few = tries().await;
        let _many = locker.lock_all(0..4_900).acquire().await.unwrap();
        let many = tries().await;
        assert!(many < 4 * few, "{few:?} with one lock, {many:?} with 4,900 more");
    });
}
