//! Where leases are kept.

use dlock::LeaseOptions;
use dlock_tests::{Backend, Site, unique};

use crate::rows::Rows;

fn kind(site: &Site) -> &'static str {
    match site.backend {
        Some(Backend::LeasePostgres) => "postgres",
        Some(Backend::LeaseMySql) => "mysql",
        Some(Backend::LeaseMariaDb) => "mariadb",
        Some(Backend::LeaseMssql) => "mssql",
        Some(Backend::LeaseOracle) => "oracle",
        _ => "sqlite",
    }
}

async fn is_used(site: &Site, table: &str, rows: &mut Rows) {
    let options = LeaseOptions::new().table(table);
    let locker = site.builder().lease_options(options.clone()).connect().await.unwrap();
    let elsewhere = site.locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    assert!(rows.row_in(table, &locker, "k").await.is_held());
    assert!(elsewhere.lock("k").try_acquire().await.unwrap().is_some(), "another table");
    let again = site.builder().lease_options(options).connect().await.unwrap();
    assert!(again.lock("k").try_acquire().await.unwrap().is_none());
    // A name without quotes is one of large letters to Oracle.
    let sql = again.explain("k").sql.to_lowercase();
    assert!(sql.contains(table), "{sql}");
    guard.release().await.unwrap();
    for locker in [locker, elsewhere, again] {
        locker.close().await;
    }
    rows.run(&format!("DROP TABLE {table}")).await;
}

pub(crate) async fn of_another_name_is_made(site: Site) {
    let table = unique("leases").replace('-', "_");
    is_used(&site, &table, &mut Rows::of(&site).await).await;
}

pub(crate) async fn made_by_hand_is_used(site: Site) {
    let mut rows = Rows::of(&site).await;
    let table = unique("by_hand").replace('-', "_");
    let options = LeaseOptions::new().table(&table);
    let ddl = options.ddl(kind(&site)).unwrap();
    assert_eq!(ddl, options.ddl(&site.url).unwrap());
    rows.run(&ddl).await;
    // It can be run again, but on Oracle, which has no such statement before version 23.
    if site.backend != Some(Backend::LeaseOracle) {
        rows.run(&ddl).await;
    }
    is_used(&site, &table, &mut rows).await;
    let other = dlock::lease::ddl("cassandra").unwrap_err();
    assert!(matches!(other, dlock::Error::Config { .. }), "{other}");
}

/// A cleanup does not make the fences begin again: what is protected would refuse all until
/// they have caught up, or let an old holder through.
pub(crate) async fn that_is_emptied_gives_no_fence_again(site: Site) {
    // Of its own: others have leases in the usual one.
    let table = unique("emptied").replace('-', "_");
    let options = LeaseOptions::new().table(&table);
    let one = site.builder().lease_options(options.clone()).connect().await.unwrap();
    let two = site.builder().lease_options(options).connect().await.unwrap();
    let mut rows = Rows::of(&site).await;
    let empty = if site.url.starts_with("sqlite") { "DELETE FROM" } else { "TRUNCATE TABLE" };
    let mut last = 0;
    for round in 0..6 {
        let locker = if round % 2 == 0 { &one } else { &two };
        let mut fences = Vec::new();
        // Alone, and with another one.
        for _ in 0..3 {
            let guard = locker.lock("k").acquire().await.unwrap();
            fences.push(guard.fence().unwrap());
            guard.release().await.unwrap();
        }
        locker.lock_all(["k", "l"]).acquire().await.unwrap().release().await.unwrap();
        fences.push(rows.row_in(&table, locker, "k").await.fence as u64);
        assert!(fences[0] > last && fences.is_sorted_by(|a, b| a < b), "{fences:?} after {last}");
        // What JavaScript can count.
        assert!(fences[3] < 1 << 53, "{fences:?}");
        last = fences[3];
        let empty = if round % 3 == 0 { empty } else { "DELETE FROM" };
        rows.run(&format!("{empty} {table}")).await;
    }
    rows.run(&format!("DROP TABLE {table}")).await;
}
