//! What leases cost the server.

use std::time::Duration;

use dlock::LeaseOptions;
use dlock_tests::{Proxy, Site, tabulate};
use tokio::time::sleep;

use super::corner::{Corner, plain};

const SECOND: Duration = Duration::from_secs(1);

async fn proxied(corner: &Corner) -> (Proxy, Site) {
    let proxy = Proxy::to(plain(&corner.site.url)).await;
    let site = corner.site.through(&format!("lease+{}", proxy.url()));
    (proxy, site)
}

pub(crate) async fn acquire_and_release_are_a_round_trip_each(site: Site) {
    let corner = Corner::new(&site).await;
    let (proxy, through) = proxied(&corner).await;
    let options = corner.options().ttl(Duration::from_secs(60));
    let locker = through.builder().lease_options(options).connect().await.unwrap();
    let mut asked = proxy.round_trips();
    let mut cost = || {
        let before = std::mem::replace(&mut asked, proxy.round_trips());
        asked - before
    };
    for key in ["new", "new", "old"] {
        let guard = locker.lock(key).acquire().await.unwrap();
        assert_eq!(cost(), 1, "acquire {key}");
        guard.release().await.unwrap();
        assert_eq!(cost(), 1, "release {key}");
    }
    // A release that nobody waits for goes together with the next acquire.
    for _ in 0..10 {
        drop(locker.lock("k").acquire().await.unwrap());
    }
    let guard = locker.lock("other").acquire().await.unwrap();
    let together = cost();
    assert!(together <= 21, "{together} round trips");
    guard.release().await.unwrap();
    cost();
    let all = locker.lock_all((0..20).map(|key| key.to_string())).acquire().await.unwrap();
    let (acquire, keys) = (cost(), 20);
    all.release().await.unwrap();
    let release = cost();
    tabulate(&format!(
        "lease_postgres  round trips: acquire 1, release 1, {keys} keys {acquire} and {release}, \
         11 pairs without waiting for the release {together}"
    ));
    corner.drop().await;
}

pub(crate) async fn thousand_leases_are_renewed_by_one_statement(site: Site) {
    const LEASES: usize = 1000;
    let corner = Corner::new(&site).await;
    let (proxy, through) = proxied(&corner).await;
    let options = LeaseOptions::new().table(corner.table()).ttl(12 * SECOND);
    let locker = through.builder().lease_options(options).connect().await.unwrap();
    let mut guards = Vec::new();
    for key in 0..LEASES {
        guards.push(locker.lock(format!("key {key}")).acquire().await.unwrap());
    }
    // Each is renewed at the first round, whenever it was taken.
    sleep(4 * SECOND).await;
    let before = proxy.round_trips();
    sleep(12 * SECOND).await;
    let rounds = proxy.round_trips() - before;
    assert!((2..=4).contains(&rounds), "{rounds} round trips for three rounds of renewals");
    assert!(guards.iter().all(|guard| !guard.is_lost()));
    tabulate(&format!(
        "lease_postgres  {LEASES} leases with a ttl of 12 s: {rounds} round trips in 12 s"
    ));
    locker.close().await;
    corner.drop().await;
}

/// A refusal has nothing to commit, and so nothing to wait for.
pub(crate) async fn refusal_writes_nothing(site: Site) {
    let mut corner = Corner::new(&site).await;
    let (holder, rival) = (corner.locker().await, corner.locker().await);
    let _guard = holder.lock("k").acquire().await.unwrap();
    let row = "SELECT xmin || ' ' || xmax || ' ' || ctid FROM {table}";
    let before = corner.text(row).await;
    for _ in 0..20 {
        assert!(rival.lock("k").try_acquire().await.unwrap().is_none());
    }
    assert_eq!(corner.text(row).await, before);
    let start = std::time::Instant::now();
    let refused = rival.lock("k").timeout(SECOND / 2).acquire().await.unwrap_err();
    assert!(refused.is_timeout(), "{refused}");
    assert!(start.elapsed() < 10 * SECOND);
    assert_eq!(corner.text(row).await, before);
    corner.drop().await;
}
