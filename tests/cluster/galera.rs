//! Three Galera nodes: every one of them takes writes, and any may go.

use std::time::Duration;

use dlock::{Error, LeaseOptions, Locker};
use dlock_tests::{Proxy, Server, Site, history, limited_in_runtime, tabulate};
use tokio::time::sleep;

use crate::nodes::{Cluster, rows};
use crate::takers::{Fences, KEYS, Takers};

const SECOND: Duration = Duration::from_secs(1);
/// The least that goes well with a cluster, which stands still for six seconds.
const TTL: Duration = Duration::from_secs(15);
/// How soon others must have gone on without a node.
const SOON: Duration = Duration::from_secs(60);

#[test]
fn nodes_come_and_go() {
    limited_in_runtime(Duration::from_secs(280), come_and_go);
}

async fn come_and_go() {
    let Some(cluster) = Cluster::start() else { return };
    defaults(&cluster).await;
    let urls = [0, 1, 2].map(|node| cluster.url(node));
    let mut takers = Takers::start(&urls, TTL, SOON).await;
    let fences = Fences::collect(&urls, TTL).await;
    // Held throughout, by renewals on one node after another.
    let keeper = Site::at(&cluster.url(2)).ttl(TTL).locker().await;
    let kept = keeper.lock("kept").acquire().await.unwrap();
    let fence = kept.fence();
    takers.go_on("three nodes").await;
    sleep(3 * SECOND).await;

    let [first, second, third] = &cluster.0;

    third.kill();
    takers.go_on("one is killed").await;
    third.start_after_crash();
    cluster.heal().await;
    takers.go_on("it is back").await;

    second.freeze();
    takers.go_on("one is frozen").await;
    cluster.thaw(&[second]).await;
    takers.go_on("it is back").await;

    cluster.isolate(0, true).await;
    takers.go_on("one is cut off").await;
    alone(first).await;
    cluster.isolate(0, false).await;
    cluster.heal().await;
    takers.go_on("it is back").await;

    kept.verify().await.unwrap();
    assert_eq!(kept.fence(), fence);
    kept.release().await.unwrap();
    let holds = takers.stop().await;
    let lost = holds.iter().filter(|hold| hold.lost).count();
    history::verify(&holds, Duration::ZERO).unwrap();
    let fences = fences.stop().await;
    tabulate(&format!(
        "galera: {} grants on three nodes while one was killed, one frozen, one cut off: {lost} \
         lost, no two holders; {fences} fences, which only grew",
        holds.len()
    ));
    // The nodes are of one mind.
    let sql = "SET SESSION wsrep_sync_wait=7;SELECT name,CONCAT(fence,owner) FROM dlock_leases";
    let rows_of = async |node: &Server| rows(node.url(), sql).await;
    let (one, two, three) = (rows_of(first).await, rows_of(second).await, rows_of(third).await);
    assert!(one.len() > usize::try_from(KEYS).unwrap(), "{one:?}");
    assert_eq!((&one, &one), (&two, &three));
    unknown_outcome(&cluster).await;
}

/// What a locker does there that nobody has told anything, and what it says of one that was told
/// too little.
async fn defaults(cluster: &Cluster) {
    let locker = Locker::connect(&cluster.url(1)).await.unwrap();
    let guard = locker.lock("default").acquire().await.unwrap();
    let left = "SELECT 'left',CONCAT(TIMESTAMPDIFF(SECOND,UTC_TIMESTAMP(6),expires_at)) \
                FROM dlock_leases WHERE name='default'";
    let left: u32 = rows(cluster.0[1].url(), left).await[0].1.parse().unwrap();
    assert!((20..=30).contains(&left), "{left} s");
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    let short = LeaseOptions::new().ttl(10 * SECOND);
    let short = Locker::builder(&cluster.url(0)).lease_options(short).connect().await.unwrap();
    let report = short.check().await.unwrap().to_string();
    assert!(report.contains("15 s"), "{report}");
}

/// A node without the majority grants nothing, and nobody who comes stays there.
async fn alone(node: &Server) {
    let error = Locker::connect(&format!("lease+{}", node.url())).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

/// A commit that is under way when the majority is gone: perhaps it will be done, perhaps not. It
/// is no grant, and nothing stays behind.
async fn unknown_outcome(cluster: &Cluster) {
    let [first, second, third] = &cluster.0;
    let proxy = Proxy::to(&format!("lease+{}", first.url())).await;
    let site = Site::at(proxy.url()).ttl(TTL);
    let locker = site.locker().await;
    second.freeze();
    third.freeze();
    let (lock, asked) = (locker.lock("unknown").timeout(8 * SECOND), proxy.round_trips());
    let taken = lock.acquire().await;
    assert!(proxy.round_trips() > asked, "it was asked");
    assert!(taken.is_err(), "{taken:?}");
    cluster.thaw(&[second, third]).await;
    let other = site.through(&cluster.url(1)).locker().await;
    let granted = other.lock("unknown").timeout(SOON).acquire().await.unwrap();
    granted.verify().await.unwrap();
    granted.release().await.unwrap();
    locker.close().await;
}
