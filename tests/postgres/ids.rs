//! The server's own ids of keys: part of the contract with other programs.

use dlock::{Key, Locker};
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
