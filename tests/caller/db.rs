//! The application's side: its own connections to the database of the suite.

use std::time::Duration;

use dlock::{Connection, ConnectionLock, on};
use dlock_tests::{Backend, Proxy, Site, Witness};
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, PgConnection, Pool, Row as _, raw_sql};

/// What must come soon.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// How statements are run: sqlx says that of references to each kind of connection, which a type parameter cannot.
pub(crate) trait Statements {
    /// Runs statements.
    fn execute(&mut self, sql: &str) -> impl Future<Output = sqlx::Result<()>> + Send;
    /// Runs statements, and returns the number that is in the first column of the first row.
    fn number(&mut self, sql: &str) -> impl Future<Output = sqlx::Result<i64>> + Send;
    /// Runs statements, and returns their rows of texts; NULL is none.
    fn texts(&mut self, sql: &str) -> impl Future<Output = sqlx::Result<Vec<Vec<String>>>> + Send;
}

macro_rules! statements {
    ($($connection:ty),*) => {
        $(impl Statements for $connection {
            async fn execute(&mut self, sql: &str) -> sqlx::Result<()> {
                let sql = raw_sql(AssertSqlSafe(sql.to_owned()));
                Executor::execute(self, sql).await.map(drop)
            }

            async fn number(&mut self, sql: &str) -> sqlx::Result<i64> {
                self.fetch_one(AssertSqlSafe(sql.to_owned())).await?.try_get(0)
            }

            async fn texts(&mut self, sql: &str) -> sqlx::Result<Vec<Vec<String>>> {
                let rows = self.fetch_all(raw_sql(AssertSqlSafe(sql.to_owned()))).await?;
                let rows = rows.iter().map(|row| {
                    let texts = (0..row.len()).map(|column| row.try_get(column));
                    texts.map(|text| text.map(Option::unwrap_or_default)).collect()
                });
                rows.collect()
            }
        })*
    };
}
statements! { PgConnection, MySqlConnection }

/// A connection of the application's, and what the tests for every database say to each in another way.
pub(crate) trait Application: Statements + sqlx::Connection + Connection + 'static {
    /// Frees all locks of the session, by hand.
    const LET_GO: &str;
    /// Fails after a while.
    const FAILS_LATE: &str;
    /// The session's settings: name, value, and where it comes from if that is known.
    const SETTINGS: &str;
    /// Settings that change by themselves.
    const RESTLESS: &[&str];
    /// What the application may have set.
    const SETTINGS_OF_THE_CALLER: &str;

    /// No statement may take longer than 200 ms.
    fn limit(backend: Option<Backend>) -> &'static str;

    /// Stops whatever the site's waiting session does.
    fn stop(witness: &mut Witness, site: &Site) -> impl Future<Output = ()>;

    /// Runs a statement under a lock, by the attribute on a function that names the type of the connection.
    fn job(&mut self, key: &str, sql: &str) -> impl Future<Output = sqlx::Result<()>>;
}

/// Where the application's connections can be told from those of other tests by a [`Witness`].
fn url(site: &Site) -> String {
    match site.backend.is_some_and(|backend| backend.is_postgres()) {
        true => format!("{}?application_name={}", site.url, site.name),
        false => site.url.clone(),
    }
}

/// A connection of the application's.
pub(crate) async fn connect<C: Application>(site: &Site) -> C {
    C::connect(&url(site)).await.unwrap()
}

/// A pool of so many.
pub(crate) async fn pool<C: Application>(site: &Site, size: u32) -> Pool<C::Database> {
    let options = PoolOptions::new().max_connections(size).acquire_timeout(Duration::from_secs(10));
    options.connect(&url(site)).await.unwrap()
}

/// A connection whose round trips are counted.
pub(crate) async fn counted<C: Application>(site: &Site) -> (Proxy, C) {
    let proxy = Proxy::to(&site.url).await;
    let conn = C::connect(proxy.url()).await.unwrap();
    (proxy, conn)
}

/// The test's one lock.
pub(crate) fn lock<'c, C: Connection>(site: &Site, conn: &'c mut C) -> ConnectionLock<'c, C> {
    on(conn).lock(&site.namespace)
}

/// Whether nobody has that lock, as another connection sees it, which does not keep it.
pub(crate) async fn is_free(site: &Site, other: &mut impl Connection) -> bool {
    let mut lock = lock(site, other);
    let free = lock.try_acquire().await.unwrap();
    assert_eq!(lock.release().await.unwrap(), free);
    free
}

/// Runs statements.
pub(crate) async fn run<C: Application>(conn: &mut C, sql: &str) {
    conn.execute(sql).await.unwrap();
}

/// The one number that a statement returns.
pub(crate) async fn number<C: Application>(conn: &mut C, sql: &str) -> i64 {
    conn.number(sql).await.unwrap()
}

/// A table of this connection's own, and how many rows are in it.
pub(crate) async fn table<C: Application>(conn: &mut C) {
    run(conn, "CREATE TEMPORARY TABLE done (n integer)").await;
}

pub(crate) async fn rows<C: Application>(conn: &mut C) -> i64 {
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
