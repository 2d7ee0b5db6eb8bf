//! sqlx's `PgAdvisoryLock`, at its best: a pool that does not ping before a connection is used.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgAdvisoryLock, PgAdvisoryLockGuard, PgPoolOptions};
use sqlx::{PgPool, Postgres};

use crate::args::Args;
use crate::locks::Locks;

#[derive(Clone)]
pub struct Sqlx(PgPool);

impl Sqlx {}

impl Locks for Sqlx {
    type Held = PgAdvisoryLockGuard<PoolConnection<Postgres>>;

    async fn connect(args: &Args) -> Self {
        let size = match &*args.workload {
            "w1" | "w5" => 1,
            "w3" | "w4" | "w6" => u32::try_from(args.tasks).unwrap(),
            _ => args.pool,
        };
        let options = PgPoolOptions::new().max_connections(size).test_before_acquire(false);
        let options = options.acquire_timeout(Duration::from_secs(120));
        Sqlx(options.connect(&args.url).await.unwrap())
    }

    async fn acquire(&self, key: &str, timeout: Option<Duration>) -> Option<Self::Held> {
        let conn = self.0.acquire().await.unwrap();
        let lock = PgAdvisoryLock::new(key);
        let acquire = lock.acquire(conn);
        match timeout {
            // It has no timeout of its own.
            Some(time) => tokio::time::timeout(time, acquire).await.ok().map(Result::unwrap),
            None => Some(acquire.await.unwrap()),
        }
    }

    async fn release(&self, held: Self::Held) {
        held.release_now().await.unwrap();
    }
}
