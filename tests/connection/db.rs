//! The application's side: its own connections to the database of the suite.

use std::time::Duration;

use dlock::{ConnectionLock, on};
use dlock_tests::{Proxy, Site, Witness};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Database, Executor as _, Pool, Row as _};

use crate::Db;

pub(crate) type Conn = <Db as Database>::Connection;
pub(crate) type PoolConn = PoolConnection<Db>;

/// What must come soon.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Where the application's connections can be told from those of other tests by a [`Witness`].
fn url(site: &Site) -> String {
    match site.backend.is_some_and(|backend| backend.is_postgres()) {
        true => format!("{}?application_name={}", site.url, site.name),
        false => site.url.clone(),
    }
}

/// A connection of the application's.
pub(crate) async fn connect(site: &Site) -> Conn {
    Conn::connect(&url(site)).await.unwrap()
}

/// A pool of so many.
pub(crate) async fn pool(site: &Site, size: u32) -> Pool<Db> {
    let options = PoolOptions::new().max_connections(size).acquire_timeout(Duration::from_secs(10));
    options.connect(&url(site)).await.unwrap()
}

/// A connection whose round trips are counted.
pub(crate) async fn counted(site: &Site) -> (Proxy, Conn) {
    let proxy = Proxy::to(&site.url).await;
    let conn = Conn::connect(proxy.url()).await.unwrap();
    (proxy, conn)
}

/// The test's one lock.
pub(crate) fn lock<'c>(site: &Site, conn: &'c mut Conn) -> ConnectionLock<'c, Conn> {
    on(conn).lock(&site.namespace)
}

/// Whether nobody has that lock, as another connection sees it, which does not keep it.
pub(crate) async fn is_free(site: &Site, other: &mut Conn) -> bool {
    let mut lock = lock(site, other);
    let free = lock.try_acquire().await.unwrap();
    assert_eq!(lock.release().await.unwrap(), free);
    free
}

/// Runs statements.
pub(crate) async fn run(conn: &mut Conn, sql: &str) {
    conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
}

/// The one number that a statement returns.
pub(crate) async fn number(conn: &mut Conn, sql: &str) -> i64 {
    let row = conn.fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap();
    row.get(0)
}

/// A table of this connection's own, and how many rows are in it.
pub(crate) async fn table(conn: &mut Conn) {
    run(conn, "CREATE TEMPORARY TABLE done (n integer)").await;
}

pub(crate) async fn rows(conn: &mut Conn) -> i64 {
    number(conn, "SELECT count(*) FROM done").await
}

/// Waits until so many of the site's connections wait for a lock.
pub(crate) async fn until_waiting(witness: &mut Witness, site: &Site, sessions: i64) {
    let waits = async || witness.waits(site).await == sessions;
    dlock_tests::eventually_async("they wait", SOON, waits).await;
}

/// Waits until the site's connections hold so many locks.
pub(crate) async fn until_held(witness: &mut Witness, site: &Site, locks: i64) {
    let held = async || witness.locks(site).await == locks;
    dlock_tests::eventually_async("as many are held", SOON, held).await;
}
