//! Where leases are kept.

use dlock::LeaseOptions;
use dlock_tests::{Backend, Site, unique};

use crate::rows::Rows;

fn kind(site: &Site) -> &'static str {
    match site.backend {
        Some(Backend::LeasePostgres) => "postgres",
        Some(Backend::LeaseMySql) => "mysql",
        Some(Backend::LeaseMariaDb) => "mariadb",
        _ => "sqlite",
    }
}

async fn is_used(site: &Site, table: &str, rows: &mut Rows) {
    let options = LeaseOptions::new().table(table);
    let locker = site.builder().lease(options.clone()).connect().await.unwrap();
    let elsewhere = site.locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    assert!(rows.row_in(table, &locker, "k").await.is_held());
    assert!(elsewhere.lock("k").try_acquire().await.unwrap().is_some(), "another table");
    let again = site.builder().lease(options).connect().await.unwrap();
    assert!(again.lock("k").try_acquire().await.unwrap().is_none());
    assert!(again.explain("k").sql.contains(table), "{}", again.explain("k").sql);
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
    // It can be run again.
    rows.run(&ddl).await;
    rows.run(&ddl).await;
    is_used(&site, &table, &mut rows).await;
    let other = dlock::lease::ddl("oracle").unwrap_err();
    assert!(matches!(other, dlock::Error::Config { .. }), "{other}");
}
