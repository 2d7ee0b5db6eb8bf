//! Leases that are shared with Django programs: the rows of django-database-locks' own table.

use std::time::{Duration, Instant};

use dlock::{Error, Key, KeyScheme, LeaseOptions, Locker};
use dlock_tests::{Site, Witness, tabulate, unique};

use dlock_tests::peer::{Library, Peer, python};

const LIBRARY: Library = Library::DjangoDatabaseLocks;
const SECOND: Duration = Duration::from_secs(1);

/// The other side; its migrations make the table.
async fn peer(python: &str, site: &Site, key: &str, terms: &str) -> Peer {
    let url = site.url.strip_prefix("lease+").unwrap();
    Peer::start(python, LIBRARY, url, key, terms).await
}

async fn locker(site: &Site) -> Locker {
    let builder = Locker::builder(&site.url).key_scheme(KeyScheme::DjangoDatabaseLocks);
    builder.lease_options(LeaseOptions::new().ttl(2 * SECOND)).connect().await.unwrap()
}

pub(crate) async fn excludes_dlock_and_is_excluded(site: Site) {
    let Some(python) = python(&site) else { return };
    let key = format!("usér:'{}", unique("k"));
    let mut peer = peer(&python, &site, &key, "10").await;
    let locker = locker(&site).await;
    let lock = locker.lock(Key::from(&key));
    assert!(matches!(lock.clone().fenced().try_acquire().await, Err(Error::Unsupported { .. })));

    assert_eq!(peer.say("take").await, "held");
    let theirs_excludes = lock.try_acquire().await.unwrap().is_none();
    let native = locker.explain(&key).native;
    let status = locker.status().await.unwrap();
    let seen = status.iter().find(|status| status.native == native).expect("it is held");
    assert!(seen.holders[0].who.starts_with("owner "), "{seen:?}");
    let waiting = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await.unwrap() }
    });
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(peer.say("release").await, "free");
    let guard = waiting.await.unwrap();
    assert_eq!(guard.fence(), None);

    // Renewed meanwhile.
    let mut ours_excludes = peer.say("take").await == "busy";
    tokio::time::sleep(3 * SECOND).await;
    ours_excludes &= peer.say("take").await == "busy";
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    assert_eq!(peer.say("take").await, "held", "what dlock has released is free");
    assert_eq!(peer.say("release").await, "free");

    // Nobody knows for how long: no time that Python cannot read.
    let endless = lock.clone().ttl(Duration::MAX).acquire().await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(peer.say("take").await, "busy");
    endless.release().await.unwrap();
    assert_eq!(peer.say("take").await, "held");

    let database = site.backend.map(|backend| backend.to_string()).unwrap();
    let mark = |excludes| if excludes { "✓" } else { "✗" };
    tabulate(&format!(
        "interop  {database:<14} {:<21} it excludes dlock {}  dlock excludes it {}",
        LIBRARY.name(),
        mark(theirs_excludes),
        mark(ours_excludes),
    ));
    assert!(theirs_excludes, "dlock got what {} holds", LIBRARY.name());
    assert!(ours_excludes, "{} got what dlock holds", LIBRARY.name());
    locker.close().await;
}

/// Both go by the time in the row.
pub(crate) async fn takes_over_what_has_run_out(site: Site) {
    let Some(python) = python(&site) else { return };
    let key = unique("k");
    let mut peer = peer(&python, &site, &key, "2").await;
    let locker = locker(&site).await;
    let start = Instant::now();
    assert_eq!(peer.say("take").await, "held");
    let guard = locker.lock(&key).auto_renew(false).acquire().await.unwrap();
    // It had it from some time after the start.
    assert!(start.elapsed() >= 2 * SECOND, "{:?}", start.elapsed());
    // Its late release frees nothing of ours.
    assert_eq!(peer.say("release").await, "free");
    assert_eq!(peer.say("take").await, "busy");
    guard.lost().await;
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(peer.say("take").await, "held");
    drop(guard);
    assert!(locker.lock(&key).try_acquire().await.unwrap().is_none());
    locker.close().await;
}

/// Both at once, from a row that is not there yet.
pub(crate) async fn counts_together_with_dlock(site: Site) {
    const TIMES: i64 = 60;
    let Some(python) = python(&site) else { return };
    let (key, table) = (unique("k"), unique("count").replace('-', "_"));
    let mut witness = Witness::at(site.url.strip_prefix("lease+").unwrap()).await;
    witness.run(&format!("CREATE TABLE {table}(n bigint)")).await;
    witness.run(&format!("INSERT INTO {table} VALUES (0)")).await;
    let with = if site.url.contains("postgres") { "$1::text" } else { "?" };
    let count = format!("SELECT n FROM {table} WHERE {with} IS NOT NULL");
    let mut peers = Vec::new();
    for _ in 0..2 {
        peers.push(peer(&python, &site, &key, "10").await);
    }
    let locker = locker(&site).await;
    for peer in &mut peers {
        peer.tell(&format!("count {table} {TIMES}")).await;
    }
    for _ in 0..TIMES {
        let guard = locker.lock(&key).acquire().await.unwrap();
        let number = witness.number(&count, &site).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        witness.run(&format!("UPDATE {table} SET n = {}", number + 1)).await;
        guard.release().await.unwrap();
    }
    for peer in &mut peers {
        assert_eq!(peer.word().await, "counted");
    }
    assert_eq!(witness.number(&count, &site).await, 3 * TIMES);
    witness.run(&format!("DROP TABLE {table}")).await;
    locker.close().await;
}

/// Who has that name gets its own lease back, whatever it is written in.
pub(crate) async fn same_owner_is_the_same_on_both_sides(site: Site) {
    let Some(python) = python(&site) else { return };
    let key = unique("k");
    let mut peer = peer(&python, &site, &key, "10:host.1").await;
    let locker = locker(&site).await;
    assert_eq!(peer.say("take").await, "held");
    assert!(locker.lock(&key).try_acquire().await.unwrap().is_none());
    let guard = locker.lock(&key).owner("host.1").try_acquire().await.unwrap().expect("its own");
    assert_eq!(peer.say("take").await, "held");
    guard.release().await.unwrap();
    assert!(locker.lock(&key).try_acquire().await.unwrap().is_some());
    locker.close().await;
}
