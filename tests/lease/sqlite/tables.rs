//! Tables that somebody else has made, and files in odd places.

use super::*;

/// Makes a file by hand.
async fn made(folder: &Folder, sql: &str) -> SqliteConnection {
    let options =
        SqliteConnectOptions::new().filename(folder.file("locks.db")).create_if_missing(true);
    let mut raw = options.connect().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut raw).await.unwrap();
    raw
}

#[tokio::test]
async fn the_table_of_an_older_version_is_used_as_it_is() {
    let folder = Folder::new();
    let sql = "CREATE TABLE dlock_leases (expires_at INTEGER, acquired_at INTEGER, fence INTEGER,
            owner TEXT, name TEXT PRIMARY KEY, note TEXT);
        INSERT INTO dlock_leases (name, owner, fence, acquired_at, expires_at)
            VALUES ('free', '', 41, 5, 0), ('held', 'somebody', 6, 5, 9e15)";
    let mut raw = made(&folder, sql).await;
    let locker = folder.locker(Duration::from_secs(5)).await;
    let guard = locker.lock("free").acquire().await.unwrap();
    assert_eq!(guard.fence(), Some(42));
    assert!(locker.lock("held").try_acquire().await.unwrap().is_none());
    let new = locker.lock("new").acquire().await.unwrap();
    assert!(new.fence() > guard.fence());
    guard.release().await.unwrap();
    new.release().await.unwrap();
    assert_eq!(row(&mut raw, "free").await, (String::new(), 42, 0));
    assert_eq!(row(&mut raw, "held").await.0, "somebody");
}

#[tokio::test]
async fn a_table_may_be_made_by_hand_and_have_another_name() {
    let folder = Folder::new();
    let lease = LeaseOptions::new().table("other");
    let mut raw = made(&folder, &lease.ddl("sqlite").unwrap()).await;
    let locker = Locker::builder(&folder.url()).lease_options(lease).connect().await.unwrap();
    let guard = locker.lock("it's").acquire().await.unwrap();
    let sql = sqlx::AssertSqlSafe(locker.explain("it's").sql.clone());
    let found = sqlx::query(sql).fetch_all(&mut raw).await.unwrap();
    assert_eq!(found.len(), 1, "explain finds it");
    guard.release().await.unwrap();
    let tables = sqlx::query_scalar::<_, String>("SELECT name FROM sqlite_schema");
    assert_eq!(tables.fetch_all(&mut raw).await.unwrap(), ["other"]);
    let names = sqlx::query_scalar::<_, String>("SELECT name FROM other");
    assert_eq!(names.fetch_all(&mut raw).await.unwrap().len(), 1);

    let default = dlock::lease::ddl("sqlite").unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(default)).execute(&mut raw).await.unwrap();
    let locker = folder.locker(Duration::from_secs(5)).await;
    assert!(locker.lock("a").try_acquire().await.unwrap().is_some());
}

#[tokio::test]
async fn a_folder_may_be_called_anything() {
    let folder = Folder::new();
    let odd = "it's \"50%\" & 100 %41 #1 é?x";
    std::fs::create_dir(folder.file(odd)).unwrap();
    let encoded = odd.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    let url = format!("sqlite://{}", folder.file(&encoded).join("locks.db").display());
    let locker = Locker::connect(&url).await.unwrap();
    let file = folder.file(odd).join("locks.db");
    assert!(file.exists());
    let guard = locker.lock("a").acquire().await.unwrap();
    let next = guard.fence().map(|fence| fence + 1);
    guard.release().await.unwrap();
    let again = Locker::connect(&url).await.unwrap();
    let guard = again.lock("a").acquire().await.unwrap();
    assert_eq!(guard.fence(), next);
    assert!(locker.lock("a").try_acquire().await.unwrap().is_none());

    let options = SqliteConnectOptions::new()
        .filename(folder.file(odd).join("app?.db"))
        .create_if_missing(true);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let locker = Locker::from_pool(&pool).connect().await.unwrap();
    drop(locker.lock("a").acquire().await.unwrap());
    assert!(folder.file(odd).join("app?.db-dlock").exists());
}
