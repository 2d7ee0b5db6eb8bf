//! Lockers that connect when they are first of use.

use std::net::TcpListener;
use std::time::Duration;

use dlock::{Error, Locker, LockerBuilder};
use dlock_tests::{Backend, Proxy, Server, Site, Temp, in_time, is_about, not_run};

use crate::alone;

const SOON: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(30);

/// The same server, for session locks and for leases.
fn both(url: &str) -> [LockerBuilder; 2] {
    [Locker::builder(url), Locker::builder(&format!("lease+{url}"))]
}

#[test]
fn settings_are_checked_at_once() {
    for wrong in [
        Locker::builder("nonsense://x"),
        Locker::builder("postgres://u:/p?@x@h/db"),
        Locker::builder("memory:lazy").max_keys(0),
        Locker::builder("memory:lazy").max_sessions(0),
    ] {
        let error = wrong.connect_lazy().unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
    }
    let folder = Temp::new();
    let file = folder.file("locks.db");
    let url = format!("sqlite://{}", file.display());
    let locker = Locker::builder(&url).connect_lazy().unwrap();
    locker.explain("k");
    assert!(!file.exists(), "nothing is made before it is of use");
    locker.lock("k").acquire_blocking().unwrap().release_blocking().unwrap();
    assert!(file.exists());
    locker.ping_blocking().unwrap();
    assert!(locker.check_blocking().unwrap().is_ok());
    assert!(locker.status_blocking().unwrap().is_empty());
}

#[test]
fn first_use_connects() {
    let site = match Site::on(Backend::Postgres) {
        Ok(site) => site,
        Err(why) => return not_run("lazy lockers", &why),
    };
    alone(move || async move {
        let proxy = Proxy::to(&site.url).await;
        for builder in both(proxy.url()) {
            let before = proxy.connections();
            let locker = builder.namespace(&site.namespace).connect_lazy().unwrap();
            locker.explain("k");
            assert_eq!(proxy.connections(), before);
            in_time("a sign of life", LONG, locker.ping()).await.unwrap();
            assert!(proxy.connections() > before);
            let (before, open) = (proxy.round_trips(), proxy.connections());
            locker.ping().await.unwrap();
            assert_eq!((proxy.round_trips() - before, proxy.connections() - open), (1, 0));
            let guard = locker.lock("k").acquire().await.unwrap();
            assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
            guard.release().await.unwrap();
            locker.close().await;
        }
    });
}

#[test]
fn server_may_come_later() {
    alone(|| async {
        let Some(server) = Server::start(Backend::Postgres, &[]) else { return };
        server.kill();
        let lockers = both(server.url()).map(|builder| builder.connect_lazy().unwrap());
        for locker in &lockers {
            for _ in 0..2 {
                let error = locker.lock("user:7").acquire().await.unwrap_err();
                assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
                is_about(&error, "user:7");
            }
            assert!(locker.lock("k").permits(2).try_acquire().await.is_err());
            assert!(locker.lock_all(["a", "b"]).try_acquire().await.is_err());
            assert!(matches!(locker.ping().await, Err(Error::Unavailable { .. })));
            assert!(matches!(locker.status().await, Err(Error::Unavailable { .. })));
        }
        server.start_after_crash();
        for locker in lockers {
            let guard = in_time("a grant", LONG, locker.lock("user:7").acquire()).await.unwrap();
            assert!(locker.lock("user:7").try_acquire().await.unwrap().is_none());
            guard.release().await.unwrap();
            locker.close().await;
        }
    });
}

/// Each caller has its own time, whatever becomes of the connection.
#[test]
fn time_of_callers_is_kept_while_it_connects() {
    alone(|| async {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://app@{}/app", silent.local_addr().unwrap());
        for builder in both(&url) {
            let locker = builder.connect_timeout(LONG).connect_lazy().unwrap();
            let wait = Duration::from_millis(300);
            let lock = locker.lock("k").timeout(wait);
            let error = in_time("an answer", SOON, lock.acquire()).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            is_about(&error, "k");
            let given_up = tokio::time::timeout(wait, locker.lock("k").acquire()).await;
            assert!(given_up.is_err());
            let waiting = tokio::spawn({
                let lock = locker.lock("other");
                async move { lock.acquire().await }
            });
            tokio::task::yield_now().await;
            in_time("the end", SOON, locker.close()).await;
            let answer = in_time("an answer", SOON, waiting).await.unwrap();
            assert!(matches!(answer, Err(Error::Closed)), "{answer:?}");
        }
    });
}
