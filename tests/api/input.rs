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
fn databases_to_come() {
    alone(|| async {
        for scheme in ["mssql", "sqlserver", "oracle", "lease+mssql", "lease+oracle"] {
            let error = refused(&format!("{scheme}://user:s3cr3t@host/db")).await;
            let text = error.to_string();
            assert!(matches!(error, Error::Unsupported { .. }), "{text}");
            assert!(text.contains(scheme) && !text.contains("s3cr3t"), "{text}");
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
            Locker::builder("memory:").lease(LeaseOptions::new().ttl(Duration::ZERO)),
            Locker::builder("memory:").lease(LeaseOptions::new().table("a b")),
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
