//! Where leases are kept, and where not.

use super::*;

#[tokio::test]
async fn a_pools_leases_are_beside_its_file() {
    let folder = Folder::new();
    let options =
        SqliteConnectOptions::new().filename(folder.file("app.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let lease = LeaseOptions::new().ttl(300 * MS);
    let locker = Locker::from_pool(&pool).lease_options(lease).connect().await.unwrap();
    assert!(folder.file("app.db-dlock").exists());
    let before = locker.lock("before").acquire().await.unwrap();
    let mut application = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let guard = locker.lock("a").acquire().await.unwrap();
    sqlx::query("CREATE TABLE t (x)").execute(&mut *application).await.unwrap();
    // Three times as long as a lease.
    sleep(Duration::from_secs(1)).await;
    guard.release().await.unwrap();
    before.verify().await.unwrap();
    application.commit().await.unwrap();
    before.release().await.unwrap();

    let pool = SqlitePoolOptions::new().connect("sqlite::memory:").await.unwrap();
    let error = Locker::from_pool(&pool).connect().await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }) && error.to_string().contains("file"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_a_lock_is_refused() {
    let folder = Folder::new();
    let url = folder.url();
    for (url, say) in [
        ("sqlite::memory:", "memory:"),
        ("sqlite://:memory:", "memory:"),
        ("sqlite://", "memory:"),
        ("sqlite://x?mode=memory", "memory:"),
        (&format!("{url}?mode=ro"), "mode=ro"),
        (&format!("{url}?synchronous=off"), "synchronous="),
        (&format!("{url}?journal_mode=off"), "journal_mode="),
        (&format!("{url}?colour=red"), "parameters"),
    ] {
        let error = Locker::connect(url).await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{url}: {error}");
        assert!(error.to_string().contains(say), "{url}: {error}");
    }
    let error = Locker::connect(&format!("{url}?mode=rw")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let error = Locker::connect("sqlite:///no/such/folder/locks.db").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    let short =
        Locker::builder(&url).lease_options(LeaseOptions::new().ttl(99 * MS)).connect().await;
    assert!(matches!(short.unwrap_err(), Error::Config { .. }));

    std::fs::write(folder.file("text"), "not a database, but longer than its header".repeat(50))
        .unwrap();
    let error =
        Locker::connect(&format!("sqlite://{}", folder.file("text").display())).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");

    let options =
        SqliteConnectOptions::new().filename(folder.file("old.db")).create_if_missing(true);
    let mut old = options.connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE dlock_leases (name TEXT PRIMARY KEY, owner, expires_at)")
        .execute(&mut old)
        .await
        .unwrap();
    old.close().await.unwrap();
    let error = Locker::connect(&format!("sqlite://{}", folder.file("old.db").display()))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Config { .. }) && error.to_string().contains("fence"),
        "{error}"
    );

    assert!(Locker::connect(&format!("{url}?synchronous=normal")).await.is_ok());
}

#[test]
fn settings_that_weaken_locks_are_found() {
    let folder = Folder::new();
    for (query, found) in
        [("", ""), ("?synchronous=normal", "synchronous"), ("?journal_mode=delete", "journal mode")]
    {
        let url = format!("sqlite://{}{query}", folder.file(&format!("{found}.db")).display());
        let check = async { Locker::connect(&url).await?.check().await };
        let report = tokio::runtime::Runtime::new().unwrap().block_on(check).unwrap();
        assert!(report.is_ok(), "{report}");
        assert_eq!(report.findings.len(), usize::from(!found.is_empty()), "{report}");
        assert!(report.to_string().contains(found), "{report}");
    }
}
