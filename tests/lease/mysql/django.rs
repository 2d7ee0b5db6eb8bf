//! The table of django-database-locks.

use std::time::Duration;

use dlock::{Error, KeyScheme, LeaseOptions, Locker};
use dlock_tests::Site;

use super::Raw;

/// As Django makes it.
const TABLE: &str = "CREATE TABLE database_locks_lock (\
    id integer AUTO_INCREMENT NOT NULL PRIMARY KEY, name varchar(255) NOT NULL UNIQUE, \
    locked_by longtext NULL, expires_at datetime(6) NULL)";

async fn connect(site: &Site, owner: Option<&str>) -> dlock::Result<Locker> {
    let lease = LeaseOptions::new().ttl(Duration::from_secs(3));
    let lease = owner.into_iter().fold(lease, LeaseOptions::owner);
    let builder = Locker::builder(&site.url).key_scheme(KeyScheme::DjangoDatabaseLocks);
    builder.lease_options(lease).connect().await
}

async fn table(site: &Site) -> Raw {
    let mut raw = Raw::to(&site.url).await;
    raw.run("ALTER DATABASE CHARACTER SET utf8mb4").await;
    raw.run(TABLE).await;
    raw
}

pub(crate) async fn table_is_never_made(site: Site) {
    let error = connect(&site, None).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    assert!(error.to_string().contains("manage.py migrate"), "{error}");
    let mut raw = Raw::to(&site.url).await;
    let tables = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA=DATABASE()";
    assert_eq!(raw.number(tables).await, 0);
}

pub(crate) async fn lease_is_a_row_as_django_writes_it(site: Site) {
    let mut raw = table(&site).await;
    let (one, two) =
        (connect(&site, Some("host.1")).await.unwrap(), connect(&site, None).await.unwrap());
    let fenced = one.lock("job").fenced().acquire().await.unwrap_err();
    assert!(matches!(fenced, Error::Unsupported { .. }), "{fenced:?}");
    let pruned = one.prune(Duration::ZERO).await.unwrap_err();
    assert!(matches!(pruned, Error::Unsupported { .. }), "{pruned:?}");
    let guard = one.lock("job é").acquire().await.unwrap();
    assert_eq!(guard.fence(), None);
    let row = "SELECT name,locked_by,expires_at IS NULL,\
               TIMESTAMPDIFF(MICROSECOND,UTC_TIMESTAMP(6),expires_at) BETWEEN 1 AND 3000000 \
               FROM database_locks_lock";
    let words = |words: [&str; 2]| words.map(|word| Some(word.to_owned()));
    assert_eq!(raw.row(row).await[..2], words(["job é", "host.1"]));
    assert_eq!(raw.row(row).await[2..], words(["0", "1"]));
    assert_eq!(raw.row(&one.explain("job é").sql).await[0].as_deref(), Some("host.1"));
    assert!(two.lock("job é").try_acquire().await.unwrap().is_none());
    let status = two.status().await.unwrap();
    assert!(status[0].holders[0].who.contains("host.1"), "{status:?}");
    // It is renewed.
    tokio::time::sleep(Duration::from_secs(4)).await;
    guard.verify().await.unwrap();
    assert!(two.lock("job é").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    let released = raw.row(row).await;
    assert_eq!(released[..3], ["job é", "host.1", "1"].map(|word| Some(word.to_owned())));
    // Python's is respected, as long as it lasts.
    raw.run(
        "UPDATE database_locks_lock SET locked_by='python.7',\
         expires_at=UTC_TIMESTAMP(6)+INTERVAL 2 SECOND",
    )
    .await;
    assert!(two.lock("job é").try_acquire().await.unwrap().is_none());
    let guard = two.lock("job é").acquire().await.unwrap();
    raw.run("UPDATE database_locks_lock SET expires_at=NULL").await;
    assert!(guard.release().await.unwrap_err().is_lost());
    // A row that Python has made and given back is free, and so is one without an owner.
    raw.run("INSERT INTO database_locks_lock (name) VALUES ('made')").await;
    two.lock("made").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    let guard = two.lock("kept").min_hold(Duration::from_secs(30)).acquire().await.unwrap();
    guard.release().await.unwrap();
    assert!(one.lock("kept").try_acquire().await.unwrap().is_none());
}

/// As they are to Django, to whatever extent the column says so.
pub(crate) async fn names_that_differ_in_case_are_one_lock(site: Site) {
    let mut raw = table(&site).await;
    let (one, two) = (connect(&site, None).await.unwrap(), connect(&site, None).await.unwrap());
    for other in [&one, &two] {
        let guard = one.lock("Job").acquire().await.unwrap();
        assert!(other.lock("job").try_acquire().await.unwrap().is_none());
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
        let guard = other.lock("job").try_acquire().await.unwrap().expect("it is free");
        assert!(one.lock("JOB").try_acquire().await.unwrap().is_none());
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
    }
    // Both at once, in one statement: one of them has it.
    let (upper, lower) = (one.lock("A"), one.lock("a"));
    for _ in 0..20 {
        let (a, b) = tokio::join!(upper.try_acquire(), lower.try_acquire());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.is_some() != b.is_some());
        for guard in a.into_iter().chain(b) {
            guard.release().await.unwrap();
        }
    }
    assert_eq!(raw.number("SELECT COUNT(*) FROM database_locks_lock").await, 2);
}

/// Neither asking nor taking costs one: there are 2,147,483,647.
pub(crate) async fn numbers_of_rows_are_not_used_up(site: Site) {
    let mut raw = table(&site).await;
    let (one, two) = (connect(&site, None).await.unwrap(), connect(&site, None).await.unwrap());
    for _ in 0..50 {
        let guard = one.lock("k").acquire().await.unwrap();
        assert!(two.lock("k").try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
    }
    one.lock("other").acquire().await.unwrap().release().await.unwrap();
    let id = raw.number("SELECT MAX(id) FROM database_locks_lock").await;
    assert!(id < 10, "{id}");
}
