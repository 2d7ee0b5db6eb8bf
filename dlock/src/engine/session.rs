//! One session's task: does one job after the other on a connection, and between jobs watches it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::backend::{Do, Op, PING, SessionBackend, Tag};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::native::NativeKey;

pub(super) type SessionId = u64;

/// How long connecting may take, with all that a server is asked at that.
const CONNECT: Duration = Duration::from_secs(10);
/// One waiting statement lasts so long at most: on PostgreSQL it pins the oldest snapshot.
pub(super) const SLICE: Duration = Duration::from_secs(30);

pub(super) enum Job {
    /// Tries, unlocks and the like; a sign of life when there is none.
    Batch(Arc<Vec<Op>>),
    /// Say whether this key is held.
    Check { key: NativeKey, reply: oneshot::Sender<bool> },
    /// Wait for this key until then.
    Wait { key: NativeKey, until: Option<Instant> },
    /// Disconnect in peace.
    Close,
}

/// What a session's task has to tell.
pub(super) enum Tale {
    Opened(Tag),
    /// The answers to a batch that was sent then.
    Answered {
        answers: Vec<bool>,
        sent: Time,
    },
    /// The batch failed as a whole; the session lives, and nothing that was tried is held.
    Failed {
        error: Error,
        sent: Time,
    },
    /// A question was answered to whom it may concern.
    Checked {
        sent: Time,
    },
    /// How a wait ended, as the server confirmed at the earliest then.
    Waited {
        granted: bool,
        sent: Time,
    },
    /// It is over with this session.
    Died(Error),
}

pub(super) type Tales = mpsc::UnboundedSender<(SessionId, Tale)>;

/// Runs a session until it dies or is closed.
pub(super) async fn run<B: SessionBackend>(
    backend: Arc<B>,
    id: SessionId,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    tales: Tales,
) {
    let tell = |tale| drop(tales.send((id, tale)));
    let opened = timeout(CONNECT, backend.open()).await;
    let mut session = match opened {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return tell(Tale::Died(error)),
        Err(late) => return tell(Tale::Died(Error::unavailable(backend.label(), late))),
    };
    tracing::debug!(target: "dlock", backend = backend.label(), "session opened");
    tell(Tale::Opened(backend.tag(&session)));
    loop {
        let job = tokio::select! {
            biased;
            job = jobs.recv() => job,
            error = backend.watch(&mut session) => return tell(Tale::Died(error)),
        };
        let done = match job {
            Some(Job::Batch(ops)) => batch(&*backend, &mut session, &ops).await,
            Some(Job::Check { key, reply }) => check(&*backend, &mut session, key, reply).await,
            Some(Job::Wait { key, until }) => wait(&*backend, &mut session, &key, until).await,
            Some(Job::Close) | None => {
                backend.close(session).await;
                tracing::debug!(target: "dlock", backend = backend.label(), "session closed");
                return;
            }
        };
        match done {
            Ok(tale) => tell(tale),
            Err(error) => return tell(Tale::Died(error)),
        }
    }
}

async fn batch<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    ops: &[Op],
) -> Result<Tale> {
    let sent = Time::now();
    let mut answers = Vec::with_capacity(ops.len());
    let Err(error) = backend.batch(session, ops, &mut answers).await else {
        return Ok(Tale::Answered { answers, sent });
    };
    if !backend.survives(&error) || ops.is_empty() {
        return Err(error);
    }
    // Thousands of guards may hang on this session. Part of the batch may have been done before
    // the error: what is held of it is read back and let go.
    let (keys, tickets): (Vec<_>, Vec<_>) = ops
        .iter()
        .filter_map(|op| match &op.what {
            Do::Try(key) | Do::Unlock(key) => Some((key.clone(), op.ticket)),
            Do::Cancel(_) | Do::End(_) => None,
        })
        .unzip();
    let held = backend.held(session, &keys).await?;
    let unlocks: Vec<Op> = keys
        .into_iter()
        .zip(tickets)
        .zip(held)
        .filter_map(|((key, ticket), held)| held.then_some(Op { what: Do::Unlock(key), ticket }))
        .collect();
    if !unlocks.is_empty() {
        backend.batch(session, &unlocks, &mut Vec::new()).await?;
    }
    Ok(Tale::Failed { error, sent })
}

async fn check<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    key: NativeKey,
    reply: oneshot::Sender<bool>,
) -> Result<Tale> {
    let sent = Time::now();
    let held = backend.held(session, &[key]).await?;
    let _ = reply.send(held.first() == Some(&true));
    Ok(Tale::Checked { sent })
}

async fn wait<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    key: &NativeKey,
    until: Option<Instant>,
) -> Result<Tale> {
    let mut sent = Time::now();
    let time =
        until.map_or(SLICE, |until| SLICE.min(until.saturating_duration_since(Instant::now())));
    let granted = backend.wait(session, key, time).await?;
    // The server counts the session's silence from now, but we know only when we asked: if that
    // was long ago, ask once more.
    if granted && backend.session_ttl().is_some_and(|ttl| sent.elapsed() > ttl / 4) {
        sent = Time::now();
        backend.batch(session, PING, &mut Vec::new()).await?;
    }
    Ok(Tale::Waited { granted, sent })
}
