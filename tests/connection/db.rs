//! The application's side: its own connections to the database of the suite.

use std::time::Duration;

use dlock_tests::{Proxy, Site};
use sqlx::pool::{PoolConnection, PoolOptions};
use sqlx::{Connection as _, Database, Pool};

use crate::Db;

pub(crate) type Conn = <Db as Database>::Connection;
pub(crate) type PoolConn = PoolConnection<Db>;

/// A connection of the application's.
pub(crate) async fn connect(site: &Site) -> Conn {
    Conn::connect(&site.url).await.unwrap()
}

/// A pool of so many.
pub(crate) async fn pool(site: &Site, size: u32) -> Pool<Db> {
    let options = PoolOptions::new().max_connections(size).acquire_timeout(Duration::from_secs(10));
    options.connect(&site.url).await.unwrap()
}

/// A connection whose round trips are counted.
pub(crate) async fn counted(site: &Site) -> (Proxy, Conn) {
    let proxy = Proxy::to(&site.url).await;
    let conn = Conn::connect(proxy.url()).await.unwrap();
    (proxy, conn)
}
