//! T-SQL.
use dlock_tests::sql_server::{client, error, number, rows, run, text};

#[tokio::test]
async fn statements_follow_each_other() {
    let mut a = client().await;
    let sql = "SET NOCOUNT ON; DECLARE @n int = 0, @sum bigint; SET @sum = 0; \
        WHILE @n < 5 BEGIN SET @n += 1; IF @n = 3 CONTINUE; SET @sum = @sum + @n END \
        IF @sum = 12 AND NOT @n <> 5 SELECT 7 ELSE SELECT 8";
    assert_eq!(number(&mut a, sql).await, 7);
    let sql = "BEGIN TRY SELECT 1 / 0 END TRY BEGIN CATCH SELECT ERROR_NUMBER() END CATCH";
    let answers = a.simple_query(sql).await.unwrap().into_results().await.unwrap();
    assert_eq!(answers.last().unwrap()[0].get(0), Some(8134));
    assert_eq!(error(&mut a, "THROW 50001, 'so it is', 1").await, 50_001);
    assert_eq!(error(&mut a, "DECLARE @t tinyint = 256").await, 8115);
    assert_eq!(error(&mut a, "SELECT FROM").await, 102);
    assert_eq!(error(&mut a, "EXEC sp_nothing").await, 2812);
    // A statement that fails ends only itself.
    let answers =
        a.simple_query("SELECT 1; SELECT 1 / 0; SELECT 2").await.unwrap().into_results().await;
    assert_eq!(answers.unwrap_err().code(), Some(8134));
}

#[tokio::test]
async fn values_have_the_types_of_the_server() {
    let mut a = client().await;
    let sql = "SELECT @@SPID, CAST(1 AS bigint), CAST(0x0102 AS varbinary(8)), N'é🔒', CAST(NULL AS nvarchar(5)), CAST(1 AS bit), \
        DATEDIFF_BIG(millisecond, '2000-01-01', '2000-01-02'), CONVERT(nvarchar(max), 'x'), 1.5, CONTEXT_INFO()";
    let row = &rows(&mut a, sql).await.unwrap()[0];
    assert!(row.get::<i16, _>(0).unwrap() > 50);
    assert_eq!((row.get(1), row.get(6)), (Some(1_i64), Some(86_400_000_i64)));
    assert_eq!(row.get::<&[u8], _>(2), Some([1, 2].as_slice()));
    assert_eq!((row.get(3), row.get(4), row.get(7)), (Some("é🔒"), None::<&str>, Some("x")));
    assert_eq!((row.get(5), row.get(8)), (Some(true), Some(1.5_f64)));
    assert!(row.try_get::<i32, _>(1).is_err());
    run(&mut a, "SET CONTEXT_INFO 0xCAFE").await;
    let row = &rows(&mut a, "SELECT CONTEXT_INFO()").await.unwrap()[0];
    assert_eq!(row.get::<&[u8], _>(0).unwrap()[..3], [0xca, 0xfe, 0]);
    assert_eq!(
        text(&mut a, "SELECT DB_NAME() + ':' + APP_NAME() + LEFT(SUSER_SNAME(), 1)").await,
        "test:a tests"
    );
}

#[tokio::test]
async fn queries_join_group_and_order() {
    let mut a = client().await;
    let sql = "WITH v (k, n) AS (SELECT k, n FROM (VALUES ('a', 1), ('b', 2), ('a', 3)) AS x (k, n)) \
        SELECT v.k, SUM(v.n) AS total, COUNT(*) AS many FROM v LEFT JOIN (VALUES ('a')) AS w (k) ON w.k = v.k \
        WHERE EXISTS (SELECT 1 FROM v AS y WHERE y.k = v.k) GROUP BY v.k HAVING COUNT(*) > 0 ORDER BY total DESC";
    let found = rows(&mut a, sql).await.unwrap();
    let found: Vec<(&str, i32)> =
        found.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
    assert_eq!(found, [("a", 4), ("b", 2)]);
    let sql = "SELECT TOP (1) s.n, o.m FROM (VALUES (1), (2)) s (n) OUTER APPLY (SELECT s.n * 2 AS m WHERE s.n > 1) o ORDER BY s.n DESC";
    let row = &rows(&mut a, sql).await.unwrap()[0];
    assert_eq!((row.get(0), row.get(1)), (Some(2), Some(4)));
    assert_eq!(number(&mut a, "SELECT 1 UNION SELECT 1").await, 1);
    assert_eq!(
        number(
            &mut a,
            "SELECT CASE WHEN NULL IN (1) OR 2 IN (1, NULL) THEN 1 WHEN 'a%' LIKE 'A[%]' THEN 3 END"
        )
        .await,
        3
    );
}

#[tokio::test]
async fn parameters_and_procedures() {
    let mut a = client().await;
    let long = "x".repeat(10_000);
    let row = a
        .query("SELECT LEN(@P1), @P2 + @P3", &[&long, &1_i64, &2_i32])
        .await
        .unwrap()
        .into_row()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), (Some(10_000), Some(3_i64)));
    // What a procedure sets is over with it, and transactions are to be balanced.
    a.execute("SET LOCK_TIMEOUT 5", &[]).await.unwrap();
    assert_eq!(number(&mut a, "SELECT @@LOCK_TIMEOUT").await, -1);
    assert_eq!(a.execute("BEGIN TRAN", &[]).await.unwrap_err().code(), Some(266));
    run(&mut a, "ROLLBACK").await;
    let mut command = tiberius::Command::new("sp_getapplock");
    command.bind_param("@Resource", "k");
    command.bind_param("@LockMode", "Exclusive");
    command.bind_param("@LockOwner", "Session");
    let done = command.exec(&mut a).await.unwrap().into_command_result().await.unwrap();
    assert_eq!(done.return_code(), 0);
    assert_eq!(text(&mut a, "SELECT APPLOCK_MODE('public', 'k', 'Session')").await, "Exclusive");
}
