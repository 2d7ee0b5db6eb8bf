//! Rows of keys that nobody uses any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dlock::{LeaseOptions, Locker, Severity};
use dlock_tests::{Backend, Site, unique};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::rows::Rows;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Lockers with a table of their own: on some sites others have leases in the usual one.
struct Corner {
    site: Site,
    table: String,
    options: LeaseOptions,
}

impl Corner {
    fn new(site: Site, options: LeaseOptions) -> Self {
        let table = unique("pruned").replace('-', "_");
        Corner { site, options: options.table(&*table), table }
    }

    async fn locker(&self) -> Locker {
        let builder = self.site.builder().lease_options(self.options.clone());
        builder.connect().await.unwrap()
    }

    async fn drop(self) {
        Rows::of(&self.site).await.run(&format!("DROP TABLE {}", self.table)).await;
    }
}

pub(crate) async fn removes_what_nobody_has_and_fences_go_on(site: Site) {
    let corner = Corner::new(site, LeaseOptions::new());
    let (ours, theirs) = (corner.locker().await, corner.locker().await);
    let mut fences = HashMap::new();
    let held = ours.lock("held").acquire().await.unwrap();
    let kept = ours.lock("kept").min_hold(HOUR).acquire().await.unwrap();
    kept.release().await.unwrap();
    // One of no characters too.
    for key in ["", "a", "b", "two\nlines", "é"] {
        let guard = ours.lock(key).acquire().await.unwrap();
        fences.insert(key, guard.fence().unwrap());
        guard.release().await.unwrap();
    }
    // It has run out, and nobody has given it back.
    let expired = ours.lock("expired").ttl(SECOND / 10).auto_renew(false).acquire().await.unwrap();
    fences.insert("expired", expired.fence().unwrap());
    expired.lost().await;
    sleep(SECOND / 5).await;
    assert_eq!(theirs.prune(HOUR).await.unwrap(), 0, "nothing is so old");
    assert_eq!(theirs.prune(Duration::MAX).await.unwrap(), 0);
    assert_eq!(theirs.prune(SECOND / 10).await.unwrap(), 6);
    assert_eq!(theirs.prune(Duration::ZERO).await.unwrap(), 0, "they are gone");
    held.verify().await.unwrap();
    assert!(theirs.lock("held").try_acquire().await.unwrap().is_none());
    assert!(theirs.lock("kept").try_acquire().await.unwrap().is_none());
    for (key, before) in fences {
        let guard = theirs.lock(key).acquire().await.unwrap();
        assert!(guard.fence().unwrap() > before, "{key}: {:?} after {before}", guard.fence());
    }
    held.release().await.unwrap();
    // One that a new row would not exceed stays, however it has come to be.
    let mut rows = Rows::of(&corner.site).await;
    rows.run(&format!("UPDATE {} SET fence = {}", corner.table, i64::MAX / 2)).await;
    assert_eq!(theirs.prune(Duration::ZERO).await.unwrap(), 0);
    let guard = theirs.lock("a").acquire().await.unwrap();
    assert_eq!(guard.fence(), Some(i64::MAX as u64 / 2 + 1));
    drop(guard);
    ours.close().await;
    theirs.close().await;
    corner.drop().await;
}

/// In order of the grants, each key's fences grow, and no two have it at once.
pub(crate) async fn takes_beside_it_have_fences_that_grow(site: Site) {
    const KEYS: usize = 48;
    const AGE: Duration = Duration::from_millis(600);
    let corner = Corner::new(site, LeaseOptions::new());
    let lockers = [corner.locker().await, corner.locker().await];
    let newest: Arc<Vec<Mutex<u64>>> = Arc::new((0..KEYS).map(|_| Mutex::new(0)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for n in 0..4 {
        let (locker, newest, stop) = (lockers[n % 2].clone(), newest.clone(), stop.clone());
        workers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let key = fastrand::usize(..KEYS);
                let guard = locker.lock(key).acquire().await.unwrap();
                let fence = guard.fence().unwrap();
                {
                    let mut newest = newest[key].try_lock().expect("another one has it");
                    assert!(fence > *newest, "key {key}: {fence} after {newest}");
                    *newest = fence;
                }
                guard.release().await.unwrap();
                sleep(Duration::from_millis(fastrand::u64(..40))).await;
            }
        });
    }
    let removed = AtomicU64::new(0);
    let until = Instant::now() + 20 * SECOND;
    // Until it has been tried: a machine that is busy may need longer.
    while removed.load(Ordering::Relaxed) < 20 && Instant::now() < until {
        for locker in &lockers {
            removed.fetch_add(locker.prune(AGE).await.unwrap(), Ordering::Relaxed);
        }
        sleep(SECOND / 20).await;
    }
    stop.store(true, Ordering::Relaxed);
    workers.join_all().await;
    assert!(removed.load(Ordering::Relaxed) > 0, "nothing was removed");
    for locker in lockers {
        locker.close().await;
    }
    corner.drop().await;
}

/// In parts, so that leases are renewed in between.
pub(crate) async fn very_many_are_noted_and_removed_beside_the_work(site: Site) {
    const MANY: u64 = 100_100;
    let corner = Corner::new(site, LeaseOptions::new().ttl(SECOND));
    let locker = corner.locker().await;
    let seen = async || {
        let report = locker.check().await.unwrap();
        let many = report.findings.into_iter().find(|finding| finding.what.contains("rows"));
        many.inspect(|many| {
            assert!(many.severity == Severity::Note && many.remedy.contains("prune"))
        })
    };
    assert_eq!(seen().await, None);
    let digits = "SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 \
        UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 \
        UNION ALL SELECT 8 UNION ALL SELECT 9";
    let number = "a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d";
    let all = format!(
        "({digits}) a, ({digits}) b, ({digits}) c, ({digits}) e, ({digits} UNION ALL SELECT 10) f \
         WHERE {number} < {MANY}"
    );
    let (name, past) = match corner.site.backend {
        Some(Backend::Sqlite) => (format!("'r' || ({number})"), "0"),
        _ => (format!("CONCAT('r', {number})"), "'2020-01-02'"),
    };
    let insert = format!("SELECT {name}, '', 7, {past}, {past} FROM {all}");
    Rows::of(&corner.site).await.run(&format!("INSERT INTO {} {insert}", corner.table)).await;
    assert!(seen().await.is_some());
    let guard = locker.lock("k").acquire().await.unwrap();
    assert_eq!(locker.prune(HOUR).await.unwrap(), MANY);
    guard.verify().await.unwrap();
    assert_eq!(seen().await, None);
    guard.release().await.unwrap();
    locker.close().await;
    corner.drop().await;
}
