//! One deadline for a whole call: a server that stands still does not make it longer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::{Duration, Instant};

use dlock::{Error, Result};
use dlock_tests::{Proxy, Site, in_time};

dlock_tests::suite! {
    "deadlines" on [
        postgres Postgres, mysql MySql, mariadb MariaDb, lease_postgres LeasePostgres,
        lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
    ] {
        frozen: [
            calls_are_answered_in_their_time,
            waits_of_several_keys_end_in_their_time,
        ]
        connecting: [has_a_time_of_its_own]
    }
}

const WAIT: Duration = Duration::from_millis(200);
/// How late an answer may be on a busy machine; a single try takes 5 s, which is too late.
const LATE: Duration = Duration::from_millis(2500);

mod connecting {
    use super::*;

    /// It takes some 50 ms here, for what the locks wait and for what they do not.
    pub(crate) async fn has_a_time_of_its_own(site: Site) {
        let proxy = Proxy::to(&site.url).await;
        proxy.delay_connections(Duration::from_millis(50));
        let builder = || site.through(proxy.url()).builder();
        for wait in [Duration::ZERO, Duration::from_millis(5)] {
            let locker = builder().timeout(wait).connect().await.unwrap();
            locker.close().await;
        }
        let asked = Instant::now();
        let error = builder().connect_timeout(Duration::from_millis(20)).connect().await;
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(asked.elapsed() < LATE, "{:?}", asked.elapsed());
        for nonsense in [Duration::ZERO, Duration::MAX] {
            let error = builder().connect_timeout(nonsense).connect().await.unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error}");
        }
    }
}

mod frozen {
    use super::*;

    fn is_in_time(what: &str, asked: Instant, wait: Duration, answer: Result<()>) {
        let took = asked.elapsed();
        let error = answer.expect_err(what);
        let told = matches!(error, Error::Unavailable { .. } | Error::Timeout { .. });
        assert!(told, "{what}: {error}");
        assert!(took >= wait && took < wait + LATE, "{what} took {took:?}: {error}");
    }

    pub(crate) async fn calls_are_answered_in_their_time(site: Site) {
        let proxy = Proxy::to(&site.url).await;
        let locker = site.through(proxy.url()).locker().await;
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
        proxy.go_silent();
        let all = locker.lock_all(["a", "b", "c"]).timeout(WAIT);
        let permits = locker.lock("p").permits(3).timeout(WAIT);
        let plain = locker.lock("k").timeout(WAIT);
        let asked = Instant::now();
        is_in_time("a lock", asked, WAIT, plain.acquire().await.map(drop));
        let asked = Instant::now();
        is_in_time("lock_all", asked, WAIT, all.acquire().await.map(drop));
        let asked = Instant::now();
        is_in_time("permits", asked, WAIT, permits.acquire().await.map(drop));
        for blocking in [true, false] {
            let (all, permits) = (all.clone(), permits.clone());
            let ended = tokio::task::spawn_blocking(move || {
                let asked = Instant::now();
                let what = if blocking { "lock_all_blocking" } else { "permits_blocking" };
                let answer = match blocking {
                    true => all.acquire_blocking().map(drop),
                    false => permits.acquire_blocking().map(drop),
                };
                is_in_time(what, asked, WAIT, answer);
            });
            ended.await.unwrap();
        }
    }

    /// The server stops in the middle of the call, when a part is held.
    pub(crate) async fn waits_of_several_keys_end_in_their_time(site: Site) {
        let proxy = Proxy::to(&site.url).await;
        let locker = site.through(proxy.url()).locker().await;
        // By the same locker, so that the order of the keys is the same one.
        let all = locker.lock_all(["a", "b", "c"]).timeout(Duration::from_secs(1));
        let last = all.keys().last().unwrap().clone();
        let held = locker.lock(last).acquire().await.unwrap();
        let asked = Instant::now();
        let waiting = tokio::spawn(async move { all.acquire().await.map(drop) });
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.go_silent();
        let answer = in_time("an answer", Duration::from_secs(20), waiting).await.unwrap();
        is_in_time("lock_all", asked, Duration::from_secs(1), answer);
        drop(held);
    }
}
