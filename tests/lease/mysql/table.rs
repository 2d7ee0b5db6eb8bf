//! The table, and people who work on it.

use std::time::Duration;

use dlock::{Error, LeaseOptions, Locker, LostReason};
use dlock_tests::{Site, in_time};

use super::Raw;

const SOON: Duration = Duration::from_secs(10);

pub(crate) async fn row_locked_by_hand_delays_only_itself(site: Site) {
    let locker = site.locker().await;
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    let held = locker.lock("held").acquire().await.unwrap();
    let mut raw = Raw::to(&site.url).await;
    let name =
        raw.row("SELECT name FROM dlock_leases WHERE name LIKE '%:k'").await.remove(0).unwrap();
    let lock = format!("SELECT * FROM dlock_leases WHERE name='{name}' FOR UPDATE");
    raw.run(&format!("START TRANSACTION; {lock}")).await;
    let lock = locker.lock("k").timeout(Duration::from_secs(30));
    let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
    for key in ["a", "b"] {
        let other = locker.lock(key).timeout(SOON).acquire().await.unwrap();
        other.release().await.unwrap();
    }
    held.verify().await.unwrap();
    assert!(!waiting.is_finished(), "the row is still locked");
    raw.run("COMMIT").await;
    assert!(waiting.await.unwrap().fence().is_some());
}

pub(crate) async fn dropped_takes_its_leases_with_it(site: Site) {
    let locker = site.ttl(Duration::from_secs(2)).locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    Raw::to(&site.url).await.run("DROP TABLE dlock_leases").await;
    let lost = in_time("it is lost", SOON, guard.lost()).await;
    assert_eq!(lost.reason, LostReason::NotHeld);
    // It is made again.
    let guard = locker.lock("k").timeout(SOON).acquire().await.unwrap();
    guard.verify().await.unwrap();
}

/// A commit that a cluster does not confirm, and what else passes: no grant, and no failure for good.
pub(crate) async fn commits_that_fail_may_be_asked_again(site: Site) {
    let lease = LeaseOptions::new().table("leases_that_fail");
    let mut raw = Raw::to(&site.url).await;
    raw.run("DROP TABLE IF EXISTS leases_that_fail").await;
    let locker = Locker::builder(&site.url).lease_options(lease).connect().await.unwrap();
    // A disk that is full; errors of Galera, and of a member of a group.
    for number in [1021, 1114, 1180, 1047, 3100, 3797] {
        raw.run(&format!(
            "CREATE TRIGGER dlock_fails BEFORE INSERT ON leases_that_fail FOR EACH ROW \
             SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO={number}"
        ))
        .await;
        let error = locker.lock(number).try_acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{number}: {error:?}");
        raw.run("DROP TRIGGER dlock_fails").await;
        let taken = locker.lock(number).timeout(SOON).acquire().await.unwrap();
        taken.release().await.unwrap();
    }
    raw.run("DROP TABLE leases_that_fail").await;
}

pub(crate) async fn made_by_hand(site: Site) {
    let table = "leases_of_mine";
    let lease = LeaseOptions::new().table(table);
    let mut raw = Raw::to(&site.url).await;
    raw.run(&lease.ddl(&site.url).unwrap()).await;
    let database = raw.row("SELECT DATABASE()").await.remove(0).unwrap();
    let locker = Locker::builder(&site.url).lease_options(lease).connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    let sql = locker.explain("k").sql;
    let row = raw.row(&sql).await;
    assert_eq!(row[1], guard.fence().map(|fence| fence.to_string()), "{row:?}");
    assert_eq!(raw.number("SELECT COUNT(*) FROM leases_of_mine").await, 1);

    // The same by the name of its database, from another one: names of those can be anything.
    raw.run("CREATE DATABASE IF NOT EXISTS dlock_elsewhere").await;
    raw.run("CREATE OR REPLACE VIEW dlock_elsewhere.v AS SELECT 1").await;
    let elsewhere = LeaseOptions::new().table(format!("dlock_elsewhere.t{}", std::process::id()));
    let theirs =
        Locker::builder(&site.url).lease_options(elsewhere.clone()).connect().await.unwrap();
    let other = theirs.lock("k").try_acquire().await.unwrap().expect("another table");
    assert_eq!(raw.row(&theirs.explain("k").sql).await.len(), 4);
    other.release().await.unwrap();
    theirs.close().await;
    let table = elsewhere.ddl("mysql").unwrap();
    let table = table.split('`').nth(3).unwrap();
    raw.run(&format!("DROP TABLE dlock_elsewhere.{table}")).await;
    assert_eq!(raw.row("SELECT DATABASE()").await[0].as_deref(), Some(&*database));
    guard.release().await.unwrap();
}

pub(crate) async fn that_cannot_hold_leases_is_refused(site: Site) {
    let good = dlock::lease::ddl("mysql").unwrap();
    let mut raw = Raw::to(&site.url).await;
    for (from, to, say) in [
        ("InnoDB", "MyISAM", "no transactions"),
        ("name VARBINARY(255)", "name VARCHAR(255)", "name is of type varchar"),
        ("fence BIGINT UNSIGNED", "token BIGINT UNSIGNED", "no column fence"),
        ("expires_at DATETIME(6)", "expires_at DATETIME", "microseconds"),
        ("NOT NULL PRIMARY KEY,", "NOT NULL, KEY (name),", "twice"),
        (
            "expires_at DATETIME(6) NOT NULL",
            "expires_at DATETIME(6) NOT NULL, PRIMARY KEY (name, owner)",
            "twice",
        ),
    ] {
        let bad = good.replace(from, to);
        let bad =
            if to.contains("PRIMARY KEY (") { bad.replace(" PRIMARY KEY,", ",") } else { bad };
        assert_ne!(bad, good);
        raw.run(&bad).await;
        let error = Locker::connect(&site.url).await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert!(error.to_string().contains(say), "{error}");
        raw.run("DROP TABLE dlock_leases").await;
    }
    Locker::connect(&site.url).await.unwrap();
}

pub(crate) async fn rows_stay_and_are_free(site: Site) {
    let locker = site.locker().await;
    let mut raw = Raw::to(&site.url).await;
    let sql = "SELECT owner,fence,expires_at<UTC_TIMESTAMP(6),\
               ABS(TIMESTAMPDIFF(SECOND,acquired_at,UTC_TIMESTAMP(6)))<60 FROM dlock_leases";
    let mut first = 0;
    for round in 0..3 {
        let guard = locker.lock("k").acquire().await.unwrap();
        if round == 0 {
            first = guard.fence().unwrap();
        }
        let fence = first + round;
        let row = raw.row(sql).await;
        assert!(row[0].as_deref().is_some_and(|owner| owner.len() > 10), "{row:?}");
        assert_eq!(row[1..], [&fence.to_string(), "0", "1"].map(|text| Some(text.to_owned())));
        if round == 2 {
            drop(guard);
            break;
        }
        guard.release().await.unwrap();
        let row = raw.row(sql).await;
        let free = ["", &fence.to_string(), "1", "1"].map(|text| Some(text.to_owned()));
        assert_eq!(row, free);
    }
    locker.close().await;
    assert_eq!(raw.row(sql).await[2].as_deref(), Some("1"), "given back at the end");
}

pub(crate) async fn stolen_row_is_noticed(site: Site) {
    let locker = site.ttl(Duration::from_secs(2)).locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let mut raw = Raw::to(&site.url).await;
    raw.run("UPDATE dlock_leases SET owner='thief',fence=7,expires_at='9999-12-31'").await;
    let lost = in_time("it is lost", SOON, guard.lost()).await;
    assert_eq!(lost.reason, LostReason::NotHeld);
    assert!(guard.release().await.unwrap_err().is_lost());
    let thief = raw.row("SELECT owner,fence,expires_at>'9999-01-01' FROM dlock_leases").await;
    assert_eq!(thief, ["thief", "7", "1"].map(|text| Some(text.to_owned())));
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    // What has run out is not renewed.
    let guard = locker.lock("other").acquire().await.unwrap();
    raw.run("UPDATE dlock_leases SET expires_at='2001-01-01' WHERE name LIKE '%:other'").await;
    let lost = in_time("it is lost", SOON, guard.lost()).await;
    assert_eq!(lost.reason, LostReason::NotHeld);
}

pub(crate) async fn endless_lease(site: Site) {
    let locker = site.locker().await;
    let guard = locker.lock("k").ttl(Duration::MAX).acquire().await.unwrap();
    let mut raw = Raw::to(&site.url).await;
    let sql = "SELECT expires_at>'9999-01-01' FROM dlock_leases";
    dlock_tests::eventually_async("it never ends", SOON, async || raw.number(sql).await == 1).await;
    guard.verify().await.unwrap();
    let rival = site.locker().await;
    assert!(rival.lock("k").try_acquire().await.unwrap().is_none());
    let fence = guard.fence().unwrap() + 1;
    guard.release().await.unwrap();
    assert_eq!(rival.lock("k").try_acquire().await.unwrap().unwrap().fence(), Some(fence));
}
