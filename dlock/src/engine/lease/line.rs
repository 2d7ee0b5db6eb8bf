//! The one connection, or the job that has it.

use std::future::pending;
use std::pin::Pin;

use super::job::{Session, WorkDone};
use crate::backend::lease::LeaseBackend;
use crate::engine::unwind::catch_panic;

/// The connection, or the job that has it.
pub(super) enum Line<C> {
    Idle(Option<Session<C>>),
    Busy(Pin<Box<dyn Future<Output = WorkDone<C>> + Send>>),
}

impl<C> Line<C> {
    /// Ends with the job that is on its way. Cancel-safe: the job stays where it is.
    pub(super) async fn done(&mut self) -> WorkDone<C> {
        match self {
            Line::Busy(job) => {
                let done = job.await;
                *self = Line::Idle(None);
                done
            }
            Line::Idle(_) => pending().await,
        }
    }
}

impl<C> Line<C> {
    /// Ends with the job that is on its way; without one, when what is polled may have changed.
    /// Cancel-safe.
    pub(super) async fn news<B>(&mut self, backend: &B, polled: bool) -> Option<WorkDone<C>>
    where
        B: LeaseBackend<Connection = C>,
    {
        match self {
            Line::Busy(_) => Some(self.done().await),
            Line::Idle(Some(session)) if polled => {
                if catch_panic(backend.changed(&mut session.connection)).await.is_err() {
                    // In doubt: the next job opens another one.
                    *self = Line::Idle(None);
                }
                None
            }
            Line::Idle(_) => pending().await,
        }
    }
}
