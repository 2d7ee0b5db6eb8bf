//! Application locks.

use std::time::{Duration, Instant};

use dlock_tests::sql_server::{Client, Double, SOON, error, number, rows, run, text};
use dlock_tests::{eventually_async, in_time};

/// Takes a lock of the session's; its return code.
async fn take(client: &mut Client, name: &str, mode: &str, timeout: i32) -> i32 {
    let sql = "DECLARE @r int; EXEC @r = sp_getapplock @Resource=@P1, @LockMode=@P2, @LockOwner='Session', \
               @LockTimeout=@P3; SELECT @r";
    let row = client.query(sql, &[&name, &mode, &timeout]).await.unwrap().into_row().await.unwrap();
    row.unwrap().get(0).unwrap()
}

async fn give(client: &mut Client, name: &str) -> i32 {
    let sql = "DECLARE @r int; EXEC @r = sys.sp_releaseapplock @Resource=@P1, @LockOwner=N'Session'; SELECT @r";
    let row = client.query(sql, &[&name]).await.unwrap().into_row().await.unwrap();
    row.unwrap().get(0).unwrap()
}

async fn mode(client: &mut Client, name: &str, owner: &str) -> String {
    text(client, &format!("SELECT APPLOCK_MODE('public', '{name}', '{owner}')")).await
}

/// How many wait.
async fn waiting(client: &mut Client) -> i32 {
    number(client, "SELECT COUNT(*) FROM sys.dm_tran_locks WHERE request_status <> 'GRANT'").await
}

#[tokio::test]
async fn exclude_and_are_counted() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    assert_eq!(take(&mut a, "k", "Exclusive", 0).await, 0);
    assert_eq!(take(&mut a, "k", "Exclusive", 0).await, 0);
    assert_eq!(take(&mut b, "k", "Shared", 0).await, -1);
    // Bytes are compared.
    assert_eq!(take(&mut b, "K", "Exclusive", 0).await, 0);
    assert_eq!(take(&mut b, "k ", "Exclusive", 0).await, 0);
    assert_eq!(give(&mut a, "k").await, 0);
    assert_eq!(take(&mut b, "k", "Exclusive", 0).await, -1);
    assert_eq!(give(&mut a, "k").await, 0);
    assert_eq!(take(&mut b, "k", "Exclusive", 0).await, 0);
    // What nobody holds is an error as well as a code.
    assert_eq!(error(&mut a, "EXEC sp_releaseapplock 'k', 'Session'").await, 1223);
    // Another database is another room.
    let mut c = double.login("sa", "any", "master").await.unwrap();
    assert_eq!(take(&mut c, "k", "Exclusive", 0).await, 0);
}

#[tokio::test]
async fn modes_convert_and_stay_until_the_last_release() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    assert_eq!(take(&mut a, "k", "Shared", 0).await, 0);
    assert_eq!(take(&mut b, "k", "Update", 0).await, 0);
    assert_eq!(take(&mut a, "k", "Update", 0).await, -1);
    assert_eq!(take(&mut b, "k", "Exclusive", 50).await, -1);
    assert_eq!(mode(&mut b, "k", "Session").await, "Update");
    assert_eq!(give(&mut a, "k").await, 0);
    assert_eq!(take(&mut b, "k", "Exclusive", 0).await, 0);
    assert_eq!(mode(&mut b, "k", "Session").await, "Exclusive");
    assert_eq!(mode(&mut b, "k", "Transaction").await, "NoLock");
    assert_eq!(give(&mut b, "k").await, 0);
    assert_eq!(mode(&mut b, "k", "Session").await, "Exclusive");
    assert_eq!(give(&mut b, "k").await, 0);
    assert_eq!(mode(&mut b, "k", "Session").await, "NoLock");
}

#[tokio::test]
async fn arguments_that_are_none_are_a_code() {
    let mut a = Double::start().await.client().await;
    for (name, mode, owner, timeout) in [
        ("'k'", "'Exclusive'", "'Transaction'", "0"),
        ("'k'", "'Exclusive'", "'Nobody'", "0"),
        ("'k'", "'Exclusively'", "'Session'", "0"),
        ("NULL", "'Exclusive'", "'Session'", "0"),
        ("'k'", "'Exclusive'", "'Session'", "-2"),
    ] {
        let sql = format!(
            "DECLARE @r int; EXEC @r = sp_getapplock {name}, {mode}, {owner}, {timeout}; SELECT @r"
        );
        assert_eq!(number(&mut a, &sql).await, -999, "{sql}");
    }
}

#[tokio::test]
async fn waits_end_in_their_time_or_in_turn() {
    let double = Double::start().await;
    let (mut a, mut b, mut c) =
        (double.client().await, double.client().await, double.client().await);
    take(&mut a, "k", "Exclusive", 0).await;
    let begun = Instant::now();
    assert_eq!(take(&mut b, "k", "Exclusive", 150).await, -1);
    assert!(begun.elapsed() >= Duration::from_millis(150));
    let b = tokio::spawn(async move { (take(&mut b, "k", "Exclusive", -1).await, b) });
    eventually_async("b waits", SOON, async || waiting(&mut a).await == 1).await;
    // A reader does not pass a writer that waits.
    let c = tokio::spawn(async move { (take(&mut c, "k", "Shared", -1).await, c) });
    eventually_async("c waits", SOON, async || waiting(&mut a).await == 2).await;
    give(&mut a, "k").await;
    let (code, b) = in_time("b has it", SOON, b).await.unwrap();
    assert_eq!(code, 1);
    assert_eq!(waiting(&mut a).await, 1);
    drop(b);
    assert_eq!(in_time("c has it", SOON, c).await.unwrap().0, 1);
}

#[tokio::test]
async fn end_with_their_session_and_their_transaction() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    let sql =
        "DECLARE @r int; EXEC @r = sp_getapplock 'k', 'Exclusive', @LockTimeout = 0; SELECT @r";
    for end in ["COMMIT", "ROLLBACK"] {
        run(&mut a, "BEGIN TRAN").await;
        assert_eq!(number(&mut a, sql).await, 0);
        assert_eq!(take(&mut b, "k", "Exclusive", 0).await, -1);
        // A savepoint gives no lock back.
        run(&mut a, "SAVE TRAN s; ROLLBACK TRAN s").await;
        assert_eq!(mode(&mut a, "k", "Transaction").await, "Exclusive");
        run(&mut a, end).await;
        assert_eq!(mode(&mut a, "k", "Transaction").await, "NoLock");
    }
    a.begin_transaction().await.unwrap();
    assert_eq!(number(&mut a, sql).await, 0);
    assert_eq!(number(&mut a, "SELECT @@TRANCOUNT").await, 1);
    a.rollback_transaction().await.unwrap();
    assert_eq!(take(&mut b, "k", "Exclusive", 0).await, 0);
    run(&mut b, "EXEC sp_reset_connection").await;
    assert_eq!(take(&mut a, "k", "Exclusive", 0).await, 0);
    drop(a);
    assert_eq!(
        take(&mut b, "k", "Exclusive", -1).await % 2,
        take(&mut b, "k", "Exclusive", 0).await
    );
}

#[tokio::test]
async fn deadlocks_have_a_victim() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    take(&mut a, "x", "Exclusive", 0).await;
    take(&mut b, "y", "Exclusive", 0).await;
    let b = tokio::spawn(async move {
        let code = take(&mut b, "x", "Exclusive", -1).await;
        (code, b)
    });
    let code = in_time("a is answered", SOON, async {
        let code = take(&mut a, "y", "Exclusive", -1).await;
        drop(a);
        code
    })
    .await;
    let (other, _b) = in_time("b is answered", SOON, b).await.unwrap();
    assert!(matches!((code, other), (-3, 0 | 1) | (0 | 1, -3)), "{code} {other}");
}

#[tokio::test]
async fn are_shown_with_who_has_them() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    let name = "a name of more than 32 characters, of which some are shown";
    take(&mut a, name, "Exclusive", 0).await;
    let sql = "SELECT l.resource_description, l.request_mode, s.program_name, s.login_name, s.session_id, DB_NAME(l.resource_database_id) \
               FROM sys.dm_tran_locks AS l JOIN sys.dm_exec_sessions AS s ON s.session_id = l.request_session_id \
               WHERE l.resource_type = 'APPLICATION' AND l.request_owner_type = 'SESSION' ORDER BY 1";
    let seen = rows(&mut b, sql).await.unwrap();
    assert_eq!(seen.len(), 1);
    let shown: Vec<&str> = (0..4).map(|place| seen[0].get(place).unwrap()).collect();
    assert!(shown[0].starts_with("0:[a name of more than 32 character]:("), "{}", shown[0]);
    assert_eq!(shown[1..], ["X", "a test", "sa"]);
    assert_eq!(seen[0].get(5), Some("test"));
    let session: i16 = seen[0].get(4).unwrap();
    run(&mut b, &format!("KILL {session}")).await;
    let gone = async || number(&mut b, "SELECT COUNT(*) FROM sys.dm_tran_locks").await == 0;
    eventually_async("the session has ended", SOON, gone).await;
    assert!(rows(&mut a, "SELECT 1").await.is_err());
    let mut limited = double.login("limited", "any", "test").await.unwrap();
    assert_eq!(error(&mut limited, sql).await, 300);
    assert_eq!(number(&mut limited, "SELECT COUNT(*) FROM sys.dm_exec_sessions").await, 1);
}

#[tokio::test]
async fn are_left_by_who_waits_no_more() {
    let double = Double::start().await;
    let (mut a, mut b) = (double.client().await, double.client().await);
    take(&mut a, "k", "Exclusive", 0).await;
    let wait = tokio::time::timeout(Duration::from_millis(100), take(&mut b, "k", "Exclusive", -1));
    assert!(wait.await.is_err());
    assert_eq!(waiting(&mut a).await, 1);
    b.cancel_query().await.unwrap();
    assert_eq!(waiting(&mut a).await, 0);
    assert_eq!(mode(&mut b, "k", "Session").await, "NoLock");
    let wait = tokio::time::timeout(Duration::from_millis(100), take(&mut b, "k", "Exclusive", -1));
    assert!(wait.await.is_err());
    drop(b);
    eventually_async("it is gone", SOON, async || waiting(&mut a).await == 0).await;
}
