//! Tables, as leases need them.

use std::time::Duration;

use dlock_tests::in_time;
use dlock_tests::sql_server::{Double, SOON, client, error, number, rows, run, text};

const TABLE: &str = "IF OBJECT_ID(N'dbo.leases', 'U') IS NULL CREATE TABLE dbo.leases (\
    name varbinary(255) NOT NULL PRIMARY KEY, owner nvarchar(64) NULL, fence bigint NOT NULL DEFAULT 0, \
    expires datetime2(7) NOT NULL, label nvarchar(10) COLLATE Latin1_General_100_BIN2 NULL)";

#[tokio::test]
async fn lease_is_taken_by_one_statement() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    for _ in 0..2 {
        run(&mut a, TABLE).await;
    }
    let sql = "MERGE dbo.leases WITH (HOLDLOCK) AS t USING (VALUES (@P1, @P2, @P3)) AS s (name, owner, ms) ON t.name = s.name \
        WHEN MATCHED AND t.expires <= SYSUTCDATETIME() THEN UPDATE SET owner = s.owner, fence = t.fence + 1, \
        expires = DATEADD(millisecond, s.ms, SYSUTCDATETIME()) \
        WHEN NOT MATCHED THEN INSERT (name, owner, fence, expires) VALUES (s.name, s.owner, 1, DATEADD(millisecond, s.ms, SYSUTCDATETIME())) \
        OUTPUT $action, inserted.fence, s.owner;";
    for (owner, ms, expected) in [("ada", 50, Some(1_i64)), ("bob", 50, None)] {
        let row =
            a.query(sql, &[&b"k".as_slice(), &owner, &ms]).await.unwrap().into_row().await.unwrap();
        assert_eq!(row.and_then(|row| row.get(1)), expected);
    }
    run(&mut b, "WAITFOR DELAY '00:00:00.060'").await;
    let row = b
        .query(sql, &[&b"k".as_slice(), &"bob", &60_000])
        .await
        .unwrap()
        .into_row()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (Some("UPDATE"), Some(2_i64), Some("bob")));
    let sql = "UPDATE t SET expires = DATEADD(second, 60, SYSUTCDATETIME()) OUTPUT inserted.fence, DATEDIFF_BIG(ms, SYSUTCDATETIME(), inserted.expires) \
        FROM leases t JOIN (VALUES (0x6B, N'bob'), (0x6C, N'bob')) v (name, owner) ON t.name = v.name AND t.owner = v.owner";
    let renewed = rows(&mut b, sql).await.unwrap();
    assert_eq!(renewed.len(), 1);
    assert!(renewed[0].get::<i64, _>(1).unwrap() > 50_000);
    run(&mut b, "DELETE FROM leases WHERE fence = 2").await;
    assert_eq!(number(&mut b, "SELECT COUNT(*) FROM leases").await, 0);
}

#[tokio::test]
async fn rows_are_what_their_table_says() {
    let mut a = client().await;
    run(&mut a, TABLE).await;
    let insert = "INSERT INTO leases (name, expires, label) VALUES (0x01, SYSUTCDATETIME(), 'a')";
    run(&mut a, insert).await;
    assert_eq!(error(&mut a, insert).await, 2627);
    assert_eq!(error(&mut a, "INSERT leases (name) VALUES (0x02)").await, 515);
    assert_eq!(error(&mut a, "UPDATE leases SET label = 'far too long'").await, 2628);
    assert_eq!(error(&mut a, "SELECT nothing FROM leases").await, 207);
    assert_eq!(error(&mut a, "SELECT * FROM nowhere").await, 208);
    assert_eq!(error(&mut a, "CREATE TABLE leases (n int)").await, 2714);
    // By bytes, but for blanks at the end.
    assert_eq!(number(&mut a, "SELECT COUNT(*) FROM leases WHERE label = 'A'").await, 0);
    assert_eq!(number(&mut a, "SELECT COUNT(*) FROM leases WHERE label = 'a '").await, 1);
    assert_eq!(number(&mut a, "SELECT CASE WHEN 'A' = 'a' THEN 1 ELSE 0 END").await, 1);
    let columns = "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = 'leases' AND IS_NULLABLE = 'NO'";
    assert_eq!(rows(&mut a, columns).await.unwrap().len(), 3);
    assert_eq!(text(&mut a, "SELECT label FROM test.dbo.leases").await, "a");
}

#[tokio::test]
async fn transactions_are_whole() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    run(&mut a, "CREATE TABLE t (n int NOT NULL)").await;
    run(&mut a, "INSERT t VALUES (1), (2)").await;
    a.begin_transaction().await.unwrap();
    run(&mut a, "UPDATE t SET n += 10; SAVE TRAN s; DELETE t; ROLLBACK TRAN s").await;
    assert_eq!(number(&mut a, "SELECT SUM(n) FROM t").await, 23);
    // Nobody reads what may be taken back, unless he may see what was before.
    assert_eq!(error(&mut b, "SET LOCK_TIMEOUT 50; SELECT SUM(n) FROM t").await, 1222);
    assert_eq!(error(&mut b, "SET LOCK_TIMEOUT 50; UPDATE t SET n = 0").await, 1222);
    let write = tokio::spawn(async move {
        run(&mut b, "SET LOCK_TIMEOUT -1; UPDATE t SET n = n + 100").await;
        b
    });
    a.rollback_transaction().await.unwrap();
    in_time("the other one writes", SOON, write).await.unwrap();
    assert_eq!(number(&mut a, "SELECT SUM(n) FROM t").await, 203);
    assert_eq!(error(&mut a, "COMMIT").await, 3902);
}

#[tokio::test]
async fn deadlock_of_writers_has_a_victim() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    run(
        &mut a,
        "CREATE TABLE x (n int); CREATE TABLE y (n int); INSERT x VALUES (1); INSERT y VALUES (1)",
    )
    .await;
    run(&mut a, "BEGIN TRAN; UPDATE x SET n = 2").await;
    run(&mut b, "BEGIN TRAN; UPDATE y SET n = 2").await;
    let other = tokio::spawn(async move {
        let ran = rows(&mut b, "UPDATE x SET n = 3").await.is_ok();
        (ran, b)
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let ran = rows(&mut a, "UPDATE y SET n = 3").await.is_ok();
    let (victim, left) = if ran {
        run(&mut a, "COMMIT").await;
        let (other, b) = in_time("b is answered", SOON, other).await.unwrap();
        assert!(!other);
        (b, a)
    } else {
        let (other, b) = in_time("b is answered", SOON, other).await.unwrap();
        assert!(other);
        (a, b)
    };
    let mut victim = victim;
    assert_eq!(number(&mut victim, "SELECT @@TRANCOUNT").await, 0);
    drop(left);
}
