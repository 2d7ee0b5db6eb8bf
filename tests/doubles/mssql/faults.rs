//! What goes wrong on purpose.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use dlock_tests::sql_server::{Double, SOON, error, number, rows, run};
use dlock_tests::{eventually_async, in_time};
use futures_core::Stream as _;

const TAKE: &str =
    "DECLARE @r int; EXEC @r = sp_getapplock 'k', 'Exclusive', 'Session', -1; SELECT @r";
const HELD: &str = "SELECT COUNT(*) FROM sys.dm_tran_locks WHERE request_status = 'GRANT'";

fn fault(kind: &str) -> String {
    format!("EXEC dlock_double.fault @kind = '{kind}', @match = 'sp_getapplock', @times = 1")
}

#[tokio::test]
async fn answers_that_mean_nothing() {
    let double = Double::start().await;
    let (mut a, mut other) = (double.client().await, double.client().await);
    run(&mut other, &fault("no_row")).await;
    assert!(rows(&mut a, TAKE).await.unwrap().is_empty());
    run(&mut other, &fault("null")).await;
    assert_eq!(rows(&mut a, TAKE).await.unwrap()[0].get::<i32, _>(0), None);
    run(&mut other, &fault("code:7")).await;
    assert_eq!(number(&mut a, TAKE).await, 7);
    run(&mut other, &fault("error:1205")).await;
    assert_eq!(error(&mut a, TAKE).await, 1205);
    assert_eq!(number(&mut a, TAKE).await, 0);
}

#[tokio::test]
async fn ends_in_the_middle() {
    let double = Double::start().await;
    let mut other = double.client().await;
    for kind in ["cut", "hang_up"] {
        let mut a = double.client().await;
        run(&mut other, &fault(kind)).await;
        assert!(rows(&mut a, TAKE).await.is_err(), "{kind}");
        // It was done, and it ended with the session.
        assert_eq!(number(&mut other, HELD).await, 0);
    }
}

#[tokio::test]
async fn rows_without_end() {
    let double = Double::start().await;
    let (mut a, mut other) = (double.client().await, double.client().await);
    run(&mut other, &fault("flood")).await;
    let mut stream = a.simple_query(TAKE).await.unwrap().into_row_stream();
    for _ in 0..10_000 {
        let next = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx));
        let row = in_time("another row", SOON, next).await.unwrap().unwrap();
        assert_eq!(row.get(0), Some(0));
    }
    drop(stream);
    drop(a);
    eventually_async("it ends", SOON, async || number(&mut other, HELD).await == 0).await;
}

#[tokio::test]
async fn client_that_has_gone_is_granted() {
    let double = Double::start().await;
    let (mut holder, mut other) = (double.client().await, double.client().await);
    run(&mut holder, TAKE).await;
    run(&mut other, &fault("deaf:300")).await;
    let mut a = double.client().await;
    let wait = tokio::time::timeout(Duration::from_millis(100), rows(&mut a, TAKE));
    assert!(wait.await.is_err());
    drop(a);
    run(&mut holder, "EXEC sp_releaseapplock 'k', 'Session'").await;
    assert_eq!(number(&mut other, HELD).await, 1);
    eventually_async("it has noticed", SOON, async || number(&mut other, HELD).await == 0).await;
}

#[tokio::test]
async fn grant_that_races_a_cancel() {
    let double = Double::start().await;
    let (mut holder, mut other) = (double.client().await, double.client().await);
    run(&mut holder, TAKE).await;
    run(&mut other, &fault("race")).await;
    let mut a = double.client().await;
    let wait = tokio::time::timeout(Duration::from_millis(100), rows(&mut a, TAKE));
    assert!(wait.await.is_err());
    let cancel = tokio::spawn(async move { (a.cancel_query().await, a) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    run(&mut holder, "EXEC sp_releaseapplock 'k', 'Session'").await;
    // The driver's own trouble with it is why dlock does not cancel.
    let (_answer, _a) = in_time("it is answered", SOON, cancel).await.unwrap();
    assert_eq!(number(&mut other, HELD).await, 1);
}

#[tokio::test]
async fn logins_that_may_not() {
    let double = Double::start().await;
    let refused = double.login("sa", "wrong", "test").await.err().unwrap();
    assert_eq!(refused.code(), Some(18_456));
    let refused = double.login("sa", "any", "nowhere").await.err().unwrap();
    assert_eq!(refused.code(), Some(4060));
    let mut powerless = double.login("powerless", "any", "test").await.unwrap();
    assert_eq!(error(&mut powerless, TAKE).await, 229);
    let mut a = double.client().await;
    run(&mut a, "CREATE TABLE t (n int)").await;
    run(&mut a, "EXEC dlock_double.[option] 'read_only', '1'").await;
    assert_eq!(error(&mut a, "INSERT t VALUES (1)").await, 3906);
}
