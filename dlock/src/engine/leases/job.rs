//! One question to the database, from the connection to the answer.

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::backend::lease::{Failure, Lease, LeaseBackend, Verdicts};
use crate::clock::Time;
use crate::error::Error;

/// A connection that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);

/// A question, with room for its answer: as long as there is none, nothing is granted, given back
/// or confirmed.
pub(super) enum Job {
    /// Give these back and take those.
    Apply { releases: Vec<Lease>, takes: Vec<Lease>, verdicts: Verdicts },
    /// Renew these.
    Renew { leases: Vec<Lease>, renewed: Vec<bool> },
    /// Whether this one is held.
    Check { lease: Lease, held: bool },
}

/// A job that is over.
pub(super) struct Done<C> {
    pub(super) job: Job,
    /// When it was sent; `None` if it never was.
    pub(super) sent: Option<Time>,
    /// Whether there is an answer.
    pub(super) result: Result<(), Failure>,
    /// What can be used again of the connection: nothing, when it is in doubt.
    pub(super) connection: Option<C>,
}

/// Does a job, on a new connection if there is none.
pub(super) async fn carry_out<B: LeaseBackend>(
    backend: Arc<B>,
    connection: Option<B::Connection>,
    mut job: Job,
    ttl: Duration,
) -> Done<B::Connection> {
    let opened = match connection {
        Some(connection) => Ok(connection),
        None => open(&*backend).await,
    };
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(failure) => {
            return Done { job, sent: None, result: Err(failure), connection: None };
        }
    };
    // An answer that comes after the ttl is worth nothing: what it grants has run out.
    let longest = ttl.min(SILENCE);
    let sent = Some(Time::now());
    let asked = ask(&*backend, &mut connection, &mut job, ttl);
    let result = timeout(longest, asked).await.unwrap_or_else(|_| Err(silence(&*backend, longest)));
    if let Err(Failure::Failed(error)) = &result {
        tracing::debug!(target: "dlock", backend = %backend.label(), %error, "session dropped");
        return Done { job, sent, result, connection: None };
    }
    Done { job, sent, result, connection: Some(connection) }
}

/// Opens a connection, in bounded time.
pub(super) async fn open<B: LeaseBackend>(backend: &B) -> Result<B::Connection, Failure> {
    let opened = timeout(SILENCE, backend.open()).await;
    let connection = opened.unwrap_or_else(|_| Err(silence(backend, SILENCE)))?;
    tracing::debug!(target: "dlock", backend = %backend.label(), "session opened");
    Ok(connection)
}

async fn ask<B: LeaseBackend>(
    backend: &B,
    connection: &mut B::Connection,
    job: &mut Job,
    ttl: Duration,
) -> Result<(), Failure> {
    match job {
        Job::Apply { releases, takes, verdicts } => {
            *verdicts = backend.apply(connection, releases, takes, ttl).await?;
        }
        Job::Renew { leases, renewed } => *renewed = backend.renew(connection, leases, ttl).await?,
        Job::Check { lease, held } => *held = backend.check(connection, lease).await?,
    }
    Ok(())
}

fn silence<B: LeaseBackend>(backend: &B, time: Duration) -> Failure {
    let source = IoError::new(ErrorKind::TimedOut, format!("no answer in {time:?}"));
    Failure::Failed(Error::Unavailable { backend: backend.label(), source: Arc::new(source) })
}
