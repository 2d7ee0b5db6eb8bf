//! Numbers of processes are used again: an order says which session it means.

use std::time::Duration;

use dlock_tests::{Server, Site, Witness, eventually_async};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

const SOON: Duration = Duration::from_secs(10);
const BIRTH: &str = "SELECT pid, (EXTRACT(EPOCH FROM backend_start) * 1000000)::int8 \
    FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// The statement that ends sessions, as the server has logged it, with the number of a session that
/// began at another time: it ends nobody.
pub(crate) async fn orders_say_which_session_they_mean(site: Site) {
    let Some(server) = Server::like(&site, &["log_statement=all"]) else { return };
    let site = Site::at(server.url());
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    let mut witness = Witness::at(server.url()).await;
    let lock = ours.lock("k");
    let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
    eventually_async("it waits", SOON, async || witness.waits(&site).await == 1).await;
    waiting.abort();
    eventually_async("it has gone", SOON, async || witness.waits(&site).await == 0).await;
    held.release().await.unwrap();
    let log = server.log();
    let order = log.lines().find(|line| line.contains("pg_terminate_backend")).unwrap();
    let order = &order[order.find("SELECT ").unwrap()..];

    let mut victim = PgConnection::connect(server.url()).await.unwrap();
    let row = sqlx::query(BIRTH).fetch_one(&mut victim).await.unwrap();
    let (pid, birth): (i32, i64) = (row.get(0), row.get(1));
    let mut other = PgConnection::connect(server.url()).await.unwrap();
    let mut end = async |birth: i64| -> bool {
        let order = sqlx::query(AssertSqlSafe(order.to_owned()));
        let order = order.bind(vec![i64::from(pid)]).bind(vec![birth]).bind(vec![true]);
        // As in our sessions, whose operators are the server's own.
        sqlx::raw_sql("SET search_path = pg_catalog").execute(&mut other).await.unwrap();
        order.fetch_one(&mut other).await.unwrap().get::<Vec<bool>, _>(0)[0]
    };
    for wrong in [birth - 1, birth + 1, 0] {
        assert!(!end(wrong).await);
    }
    sqlx::query(BIRTH).fetch_one(&mut victim).await.unwrap();
    assert!(end(birth).await);
    assert!(sqlx::query(BIRTH).fetch_one(&mut victim).await.is_err());
}
