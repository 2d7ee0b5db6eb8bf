//! The application's side: its own connections, by tokio-postgres and its pools.

use std::time::Duration;

use bb8_postgres::PostgresConnectionManager;
use deadpool_postgres::{Manager, Pool};
use dlock::{ConnectionLock, on};
use dlock_tests::{Site, Witness, eventually_async};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

pub(crate) type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> =
    std::result::Result<T, E>;

pub(crate) const SOON: Duration = Duration::from_secs(5);
pub(crate) const A_MOMENT: Duration = Duration::from_millis(100);

pub(crate) fn config(site: &Site) -> Config {
    let mut config: Config = site.url.parse().unwrap();
    config.application_name(&site.name);
    config
}

/// A connection of the application's.
pub(crate) async fn connect(site: &Site) -> Client {
    let (client, connection) = config(site).connect(NoTls).await.unwrap();
    // It ends with its client, or is ended by the test.
    tokio::spawn(connection);
    client
}

/// A pool of one.
pub(crate) fn deadpool(site: &Site) -> Pool {
    deadpool_of(site, 1)
}

/// A pool of so many.
pub(crate) fn deadpool_of(site: &Site, size: usize) -> Pool {
    Pool::builder(Manager::new(config(site), NoTls)).max_size(size).build().unwrap()
}

/// A pool of one, of the other kind.
pub(crate) async fn bb8(site: &Site) -> bb8_postgres::bb8::Pool<PostgresConnectionManager<NoTls>> {
    let manager = PostgresConnectionManager::new(config(site), NoTls);
    bb8_postgres::bb8::Pool::builder().max_size(1).build(manager).await.unwrap()
}

/// The test's lock.
pub(crate) fn lock<'c>(client: &'c mut Client, site: &Site) -> ConnectionLock<'c, Client> {
    on(client).lock(&site.namespace)
}

/// The one value of one row.
pub(crate) fn value(messages: &[SimpleQueryMessage]) -> &str {
    let mut rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    rows.next().unwrap()
}

/// Whether this very session has any lock, and what else it is asked before that is done.
pub(crate) async fn holds_some(client: &Client) -> bool {
    let sql =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
    value(&client.simple_query(sql).await.unwrap()) != "0"
}

/// Nothing is held or waited for by the site's connections, or will be in a moment.
pub(crate) async fn nothing_is_left(site: &Site) {
    let mut witness = Witness::at(&site.url).await;
    eventually_async("nothing is left", SOON, async || {
        witness.locks(site).await == 0 && witness.waits(site).await == 0
    })
    .await;
}

/// Some connection of the site's waits.
pub(crate) async fn somebody_waits(site: &Site) {
    let mut witness = Witness::at(&site.url).await;
    eventually_async("somebody waits", SOON, async || witness.waits(site).await == 1).await;
}

/// Drops a future that waits for a lock, when the server knows of the wait.
pub(crate) async fn cancel_the_wait<T>(site: &Site, waiting: impl Future<Output = T>) {
    tokio::select! {
        _ = waiting => panic!("it did not wait"),
        () = somebody_waits(site) => {}
    }
}
