//! One question to the database, from the connection to the answer.

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::handover::OwnLease;
use crate::backend::LockView;
use crate::backend::lease::{Failure, Lease, LeaseBackend, Outcomes, Owner};
use crate::clock::{Time, Validity, Wall};
use crate::engine::executor::Reply;
use crate::engine::unwind::{Panicked, catch_panic};
use crate::error::Error;
use crate::observe::{ObservedSession, Telemetry};
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// A connection that says nothing for so long is given up: twice the time that a cluster stands
/// still when it loses a node.
pub(super) const SILENCE: Duration = Duration::from_secs(12);

/// A question, with room for its answer: as long as there is none, nothing is granted, given back
/// or confirmed.
pub(super) enum Job {
    /// Give these back and take those.
    Apply { releases: Vec<Lease>, takes: Vec<Lease>, outcomes: Outcomes },
    /// Renew these.
    Renew { leases: Vec<Lease>, renewed: Vec<bool> },
    /// Answer this. What turned out not to be held is lost.
    Ask { question: Option<Question>, lost: Option<Lease> },
}

/// What somebody else than the engine wants to know.
pub(super) enum Question {
    /// Whether this one is held.
    Held(Lease, Reply<bool>),
    /// Who holds and who waits: of this key, or of all.
    Status(Option<NativeKey>, Reply<Vec<LockView>>),
    /// What is wrong with the set-up.
    Check(Reply<Vec<Finding>>),
    /// Have the lease of this key run out; who had it.
    Break(NativeKey, Reply<Vec<String>>),
    /// Whether it answers.
    Ping(Reply<()>),
    /// Remove old rows.
    Prune(Prune),
    /// Give a lease to another owner.
    OwnLease(Box<OwnLease>),
}

/// Rows that are removed in parts: other questions, and locks, have their turn in between.
pub(super) struct Prune {
    pub(super) older_than: Duration,
    /// From this name on.
    pub(super) from: String,
    pub(super) removed: u64,
    pub(super) reply: Reply<u64>,
}

impl Question {
    /// Answers it with an error.
    pub(super) fn fail(self, error: Error) {
        match self {
            Question::Held(_, reply) => drop(reply.send(Err(error))),
            Question::Status(_, reply) => drop(reply.send(Err(error))),
            Question::Check(reply) => drop(reply.send(Err(error))),
            Question::Break(_, reply) => drop(reply.send(Err(error))),
            Question::Ping(reply) => drop(reply.send(Err(error))),
            Question::Prune(Prune { reply, .. }) => drop(reply.send(Err(error))),
            Question::OwnLease(own) => own.fail(error),
        }
    }

    /// Whether there is something left to do, and somebody who wants it.
    pub(super) fn goes_on(&self) -> bool {
        match self {
            Question::Prune(prune) => !prune.reply.is_closed(),
            _ => true,
        }
    }
}

/// A connection that is open.
pub(super) struct Session<C> {
    // Dropped in this order.
    pub(super) connection: C,
    pub(super) observed: ObservedSession,
}

/// A job that is over.
pub(super) struct Done<C> {
    pub(super) job: Job,
    /// When it was sent; `None` if it never was.
    pub(super) sent: Option<Sent>,
    /// Whether there is an answer.
    pub(super) result: Result<(), Failure>,
    /// What can be used again of the connection: nothing, when it is in doubt.
    pub(super) session: Option<Session<C>>,
}

/// When a question went out.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) at: Time,
    /// By the database's clock, where that is ours.
    pub(super) wall: Option<Wall>,
}

impl Sent {
    pub(super) fn now() -> Self {
        Sent { at: Time::now(), wall: None }
    }

    /// The validity of what it has granted for so long: it ends before the row does.
    pub(super) fn validity(self, lasts: Duration) -> Validity {
        let wall = self.wall.map(|wall| wall.after(lasts));
        Validity::until(self.at.after(lasts)).or_until(wall)
    }
}

/// Does a job, on a new connection if there is none. It may take so long.
pub(super) async fn carry_out<B: LeaseBackend>(
    backend: Arc<B>,
    telemetry: Arc<Telemetry>,
    session: Option<Session<B::Connection>>,
    mut job: Job,
    longest: Duration,
) -> Done<B::Connection> {
    let opened = match session {
        Some(session) => Ok(session),
        None => open(&*backend, &telemetry).await,
    };
    let mut session = match opened {
        Ok(session) => session,
        Err(failure) => {
            return Done { job, sent: None, result: Err(failure), session: None };
        }
    };
    let longest = longest.min(SILENCE);
    let wall = backend.has_our_clock().then(Wall::now);
    let sent = Some(Sent { at: Time::now(), wall });
    let asked = ask(&*backend, &mut session.connection, &mut job);
    // A panic leaves the job as it was, without an answer.
    let result = match catch_panic(timeout(longest, asked)).await {
        Ok(in_time) => in_time.unwrap_or_else(|_| Err(silence(&*backend, longest))),
        Err(panicked) => Err(panic(&*backend, panicked)),
    };
    if let Err(Failure::Failed(error)) = &result {
        session.observed.is_broken(error);
        return Done { job, sent, result, session: None };
    }
    Done { job, sent, result, session: Some(session) }
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
) -> Result<(), Failure> {
    match job {
        Job::Apply { releases, takes, outcomes } => {
            *outcomes = backend.apply(connection, releases, takes).await?;
        }
        Job::Renew { leases, renewed } => *renewed = backend.renew(connection, leases).await?,
        Job::Ask { question, lost } => answer(backend, connection, question, lost).await?,
    }
    Ok(())
}

/// Takes the question out when it is answered.
async fn answer<B: LeaseBackend>(
    backend: &B,
    connection: &mut B::Connection,
    question: &mut Option<Question>,
    lost: &mut Option<Lease>,
) -> Result<(), Failure> {
    match question {
        Some(Question::Held(lease, _)) => {
            let held = backend.check(connection, lease).await?;
            if let Some(Question::Held(lease, reply)) = question.take() {
                let _ = reply.send(Ok(held));
                *lost = (!held).then_some(lease);
            }
        }
        Some(Question::Status(of, _)) => {
            let seen = backend.status(connection, of.as_ref()).await?;
            if let Some(Question::Status(_, reply)) = question.take() {
                let _ = reply.send(Ok(seen));
            }
        }
        Some(Question::Check(_)) => {
            let found = backend.examine(connection).await?;
            if let Some(Question::Check(reply)) = question.take() {
                let _ = reply.send(Ok(found));
            }
        }
        Some(Question::Break(key, _)) => {
            let broken = expire(backend, connection, key).await?;
            if let Some(Question::Break(_, reply)) = question.take() {
                let _ = reply.send(Ok(broken));
            }
        }
        Some(Question::Ping(_)) => {
            // Of a key that nobody has: that the table can be read is more than that there is a
            // server.
            backend.status(connection, Some(&NativeKey::Name(String::new()))).await?;
            if let Some(Question::Ping(reply)) = question.take() {
                let _ = reply.send(Ok(()));
            }
        }
        Some(Question::OwnLease(own)) => {
            own.taken = Some(backend.own(connection, &own.lease, &own.to).await?);
        }
        Some(Question::Prune(prune)) => {
            let part = backend.prune(connection, prune.older_than, &prune.from).await?;
            prune.removed += part.removed;
            match part.next {
                Some(next) => prune.from = next,
                None => {
                    if let Some(Question::Prune(Prune { removed, reply, .. })) = question.take() {
                        let _ = reply.send(Ok(removed));
                    }
                }
            }
        }
        None => {}
    }
    Ok(())
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
