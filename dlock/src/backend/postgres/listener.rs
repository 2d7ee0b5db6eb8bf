//! A connection that can be watched, and that hangs up.

use sqlx::Acquire as _;
use sqlx::postgres::{PgConnection, PgListener, PgNotification};

/// A `PgListener` whose drop closes the connection and says nothing. Its own drop leaves a task that
/// says goodbye and waits for the answer: for ever on a server that does not answer, and for as long
/// as there are rows on one that does not end its answer.
pub(super) struct Listener(Option<PgListener>);

impl Listener {
    pub(super) fn new(mut listener: PgListener) -> Self {
        listener.eager_reconnect(false);
        listener.ignore_pool_close_event(true);
        Listener(Some(listener))
    }

    pub(super) async fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        match &mut self.0 {
            Some(listener) => listener.acquire().await,
            None => Err(sqlx::Error::PoolClosed),
        }
    }

    /// What the server says of itself: `None` when the connection has ended.
    pub(super) async fn try_recv(&mut self) -> sqlx::Result<Option<PgNotification>> {
        match &mut self.0 {
            Some(listener) => listener.try_recv().await,
            None => Ok(None),
        }
    }

    /// Has a task say goodbye.
    pub(super) fn close(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some(listener) = self.0.take() else { return };
        // The task goes to a runtime that ends before it has begun, and the connection with it.
        let Ok(nowhere) = tokio::runtime::Builder::new_current_thread().build() else { return };
        let there = nowhere.enter();
        drop(listener);
        drop(there);
        nowhere.shutdown_background();
    }
}
