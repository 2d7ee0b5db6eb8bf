//! One question to the database, from the connection to the answer.

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::core::{Done, Found, Job, Question, Sent};
use super::pending::{Pending, Prune};
use crate::backend::lease::{Failure, Lease, LeaseBackend, Owner};
use crate::clock::{Time, Wall};
use crate::engine::unwind::{Panicked, catch_panic};
use crate::error::Error;
use crate::observe::{ObservedSession, Telemetry};
use crate::spec::native::NativeKey;

/// A connection that says nothing for so long is given up: twice the time that a cluster stands
/// still when it loses a node.
pub(super) const SILENCE: Duration = Duration::from_secs(12);

/// A connection that is open.
pub(super) struct Session<C> {
    // Dropped in this order.
    pub(super) connection: C,
    pub(super) observed: ObservedSession,
}

/// A job that is over.
pub(super) struct WorkDone<C> {
    pub(super) done: Done,
    /// The question that it was about, if it has no answer yet.
    pub(super) pending: Option<Pending>,
    /// What can be used again of the connection: nothing, when it is in doubt.
    pub(super) session: Option<Session<C>>,
}

/// Does a job, on a new connection if there is none. It may take so long.
pub(super) async fn carry_out<B: LeaseBackend>(
    backend: Arc<B>,
    telemetry: Arc<Telemetry>,
    session: Option<Session<B::Connection>>,
    (mut job, mut pending): (Job, Option<Pending>),
    longest: Duration,
) -> WorkDone<B::Connection> {
    let over = |job, sent, result, pending: Option<Pending>, session| {
        let wanted = pending.as_ref().is_none_or(Pending::is_wanted);
        WorkDone { done: Done { job, sent, result, wanted }, pending, session }
    };
    let opened = match session {
        Some(session) => Ok(session),
        None => open(&*backend, &telemetry).await,
    };
    let mut session = match opened {
        Ok(session) => session,
        Err(failure) => return over(job, None, Err(failure), pending, None),
    };
    let longest = longest.min(SILENCE);
    let wall = backend.has_our_clock().then(Wall::now);
    let sent = Some(Sent { at: Time::now(), wall });
    let asked = ask(&*backend, &mut session.connection, &mut job, &mut pending);
    // A panic leaves the job as it was, without an answer.
    let result = match catch_panic(timeout(longest, asked)).await {
        Ok(in_time) => in_time.unwrap_or_else(|_| Err(silence(&*backend, longest))),
        Err(panicked) => Err(panic(&*backend, panicked)),
    };
    if let Err(Failure::Failed(error)) = &result {
        session.observed.is_broken(error);
        return over(job, sent, result, pending, None);
    }
    over(job, sent, result, pending, Some(session))
}

/// Opens a connection, in bounded time.
pub(super) async fn open<B: LeaseBackend>(
    backend: &B,
    telemetry: &Arc<Telemetry>,
) -> Result<Session<B::Connection>, Failure> {
    let mut observed = ObservedSession::connecting(telemetry);
    let connection = match catch_panic(timeout(SILENCE, backend.open())).await {
        Ok(in_time) => in_time.unwrap_or_else(|_| Err(silence(backend, SILENCE)))?,
        Err(panicked) => return Err(panic(backend, panicked)),
    };
    observed.is_open();
    Ok(Session { connection, observed })
}

async fn ask<B: LeaseBackend>(
    backend: &B,
    connection: &mut B::Connection,
    job: &mut Job,
    pending: &mut Option<Pending>,
) -> Result<(), Failure> {
    match job {
        Job::Apply { releases, takes, outcomes } => {
            *outcomes = backend.apply(connection, releases, takes).await?;
        }
        Job::Renew { leases, renewed } => *renewed = backend.renew(connection, leases).await?,
        Job::Ask { question: Question::Held(lease), found, .. } => {
            *found = Found::Held(backend.check(connection, lease).await?);
        }
        Job::Ask { question: Question::Own(own), found, .. } => {
            *found = Found::Own(backend.own(connection, &own.lease, &own.to).await?);
        }
        Job::Ask { question: Question::Other, found, .. } => {
            *found = answer(backend, connection, pending).await?;
        }
    }
    Ok(())
}

/// Takes the question out when all of it is answered.
async fn answer<B: LeaseBackend>(
    backend: &B,
    connection: &mut B::Connection,
    pending: &mut Option<Pending>,
) -> Result<Found, Failure> {
    match pending {
        Some(Pending::Status(of, _)) => {
            let seen = backend.status(connection, of.as_ref()).await?;
            if let Some(Pending::Status(_, reply)) = pending.take() {
                let _ = reply.send(Ok(seen));
            }
        }
        Some(Pending::Check(_)) => {
            let found = backend.examine(connection).await?;
            if let Some(Pending::Check(reply)) = pending.take() {
                let _ = reply.send(Ok(found));
            }
        }
        Some(Pending::Break(key, _)) => {
            let broken = expire(backend, connection, key).await?;
            if let Some(Pending::Break(_, reply)) = pending.take() {
                let _ = reply.send(Ok(broken));
            }
        }
        Some(Pending::Ping(_)) => {
            // Of a key that nobody has: that the table can be read is more than that there is a
            // server.
            backend.status(connection, Some(&NativeKey::Name(String::new()))).await?;
            if let Some(Pending::Ping(reply)) = pending.take() {
                let _ = reply.send(Ok(()));
            }
        }
        Some(Pending::Prune(prune)) => {
            let part = backend.prune(connection, prune.older_than, &prune.from).await?;
            prune.removed += part.removed;
            if let Some(next) = part.next {
                prune.from = next;
                return Ok(Found::Part);
            }
            if let Some(Pending::Prune(Prune { removed, reply, .. })) = pending.take() {
                let _ = reply.send(Ok(removed));
            }
        }
        Some(Pending::Held(_) | Pending::Token(_) | Pending::Adopt(_)) | None => {}
    }
    Ok(Found::All)
}

/// Gives the lease of this key back in the place of whoever has it.
async fn expire<B: LeaseBackend>(
    backend: &B,
    connection: &mut B::Connection,
    key: &NativeKey,
) -> Result<Vec<String>, Failure> {
    let seen = backend.status(connection, Some(key)).await?;
    let mut broken = Vec::new();
    for party in seen.into_iter().flat_map(|seen| seen.holders) {
        let Some((owner, fence)) = party.lease else { continue };
        let owner = Owner::Named(Arc::from(owner));
        let lease = Lease { key: key.clone(), owner, fence, lasts: Duration::ZERO };
        let outcomes = backend.apply(connection, &[lease], &[]).await?;
        if outcomes.released == [true] {
            broken.push(party.holder.who);
        }
    }
    Ok(broken)
}

fn panic<B: LeaseBackend>(backend: &B, panicked: Panicked) -> Failure {
    Failure::Failed(Error::unavailable(&backend.label(), panicked))
}

fn silence<B: LeaseBackend>(backend: &B, time: Duration) -> Failure {
    let source = IoError::new(ErrorKind::TimedOut, format!("no answer in {time:?}"));
    Failure::Failed(Error::unavailable(&backend.label(), source))
}
