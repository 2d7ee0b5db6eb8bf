//! The crate distributed-lock, on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use distributed_lock_core::traits::{DistributedLock as _, LockHandle as _, LockProvider as _};
use distributed_lock_postgres::PostgresLockProvider;

use crate::args::Args;
use crate::locks::Locks;

/// It has no name that can be said.
type Handle = <<PostgresLockProvider as distributed_lock_core::traits::LockProvider>::Lock as distributed_lock_core::traits::DistributedLock>::Handle;

#[derive(Clone)]
pub struct Distributed(Arc<PostgresLockProvider>);

impl Distributed {}

impl Locks for Distributed {
    type Held = Handle;

    async fn connect(args: &Args) -> Self {
        Distributed(Arc::new(PostgresLockProvider::new(args.url.clone()).await.unwrap()))
    }

    async fn acquire(&self, key: &str, timeout: Option<Duration>) -> Option<Handle> {
        self.0.create_lock(key).acquire(timeout).await.ok()
    }

    async fn release(&self, held: Handle) {
        let _ = held.release().await;
    }
}
