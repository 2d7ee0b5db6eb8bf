//! One session's task: does one job after the other on a connection, and between jobs watches it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::core::Job;
use super::core::{OwnSession, SessionEvent};
use super::job::{Order, Question};
use super::parts::batch;
use super::tasks::{Events, Jobs, Task};
use crate::backend::{Answer, BatchItem, LockView, Op, PING, SessionBackend, Waited};
use crate::clock::{Time, Validity};
use crate::engine::timer::Timer;
use crate::engine::unwind::catch_panic;
use crate::error::{Error, Result};
use crate::observe::{Event, ObservedSession, Telemetry};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::lost::LostReason;

/// To begin to watch a session costs a system call, and the next answer another one: it is not done
/// between two jobs in quick succession.
const REST: Duration = Duration::from_millis(10);

/// Runs a session: all that the engine knows of a backend, so that the rest of it is compiled once
/// for all of them.
pub(super) type Dialer = Box<dyn Fn(Arc<Validity>, Jobs, Events) -> Task + Send>;

/// See [`run`]. `limit`: how long connecting may take, with all that a server is asked at that.
pub(super) fn dialer<B: SessionBackend>(
    backend: &Arc<B>,
    limit: Duration,
    telemetry: &Arc<Telemetry>,
) -> Dialer {
    let (backend, telemetry) = (Arc::clone(backend), Arc::clone(telemetry));
    Box::new(move |validity, jobs, events| {
        let (backend, telemetry) = (Arc::clone(&backend), Arc::clone(&telemetry));
        Box::pin(async move {
            let session = run((&*backend, limit, &telemetry), validity, jobs, events.clone());
            if let Err(panicked) = catch_panic(session).await {
                let error = Error::unavailable(backend.label(), panicked);
                events.send(SessionEvent::Died(error));
            }
        })
    })
}

/// Ends the validity of all that a session holds, when the session's task ends in any way: it has
/// failed or was closed, it has panicked, it was dropped with its runtime.
struct EndOnDrop(Arc<Validity>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        let panics = std::thread::panicking();
        self.0.end(if panics { LostReason::SessionEnded } else { LostReason::Closed });
    }
}

/// Runs a session until it dies or is closed. A panic is for the caller to catch.
async fn run<B: SessionBackend>(
    (backend, limit, telemetry): (&B, Duration, &Arc<Telemetry>),
    validity: Arc<Validity>,
    mut jobs: Jobs,
    events: Events,
) {
    let tell = |event| events.send(event);
    let mut observed = ObservedSession::connecting(telemetry);
    let opened = timeout(limit, backend.open()).await;
    let mut session = match opened {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return tell(SessionEvent::Died(error)),
        Err(late) => return tell(SessionEvent::Died(Error::unavailable(backend.label(), late))),
    };
    observed.is_open();
    // Declared after the session, so it is dropped before the connection is.
    let validity = EndOnDrop(validity);
    let left = backend.connections_left(&session);
    tell(SessionEvent::Opened { tag: backend.tag(&session), left });
    let (mut rest, mut rests) = (Timer::default(), false);
    let mut answers = Vec::new();
    loop {
        let rest = rests.then_some(&mut rest);
        let job = match next_job(backend, &mut session, &mut jobs, rest).await {
            Ok(Order::Do(job)) => job,
            Ok(Order::Close) => {
                drop(validity);
                backend.close(session).await;
                return drop(observed);
            }
            Err(error) => {
                validity.0.end(LostReason::SessionEnded);
                observed.is_broken(&error);
                return tell(SessionEvent::Died(error));
            }
        };
        // After a sign of life nothing else is to be expected.
        rests = matches!(&job, Job::Batch { ops, .. } if !ops.is_empty());
        let done = match job {
            Job::Batch { ops, again, careful: false } => {
                let ping = ops.is_empty().then(Time::now);
                let done = batch(backend, &mut session, &ops, again, &mut answers).await;
                if let Some(sent) = ping.filter(|_| done.is_ok()) {
                    telemetry.emit(&Event::Renewed { took: sent.elapsed() });
                }
                done
            }
            Job::Batch { ops, again, careful: true } => {
                careful_batch(backend, &mut session, &ops, again, &mut answers).await
            }
            Job::Ask(question) => ask(backend, &mut session, question).await,
            Job::Wait { lock_id, time } => {
                observed.waits();
                let done = wait(backend, &mut session, &lock_id, time).await;
                observed.is_open();
                done
            }
            Job::Convert { lock_id, to, time } => {
                convert(backend, &mut session, &lock_id, to, time).await
            }
        };
        match done {
            Ok(event) => tell(event),
            Err(error) => {
                validity.0.end(LostReason::SessionEnded);
                observed.is_broken(&error);
                return tell(SessionEvent::Died(error));
            }
        }
    }
}

/// The next job; an error when the session has died before.
/// `rest`: it has just done one, and is watched only after a moment.
async fn next_job<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    jobs: &mut Jobs,
    rest: Option<&mut Timer>,
) -> Result<Order> {
    if let Some(rest) = rest {
        tokio::select! {
            biased;
            job = jobs.recv() => return Ok(job),
            () = rest.until(Some(Instant::now() + REST)) => {}
        }
    }
    // On the heap: it is of several kilobytes, which would be moved with every job, also where it is
    // never polled.
    let watch = Box::pin(backend.watch(session));
    tokio::select! {
        biased;
        job = jobs.recv() => Ok(job),
        error = watch => Err(error),
    }
}

/// A batch of writes on a session that others' locks depend on: only if they wait for nobody.
async fn careful_batch<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    ops: &[BatchItem],
    again: bool,
    answers: &mut Vec<Answer>,
) -> Result<SessionEvent> {
    let sent = Time::now();
    if backend.writes_wait(session).await? {
        return Ok(SessionEvent::Unwritten { sent });
    }
    batch(backend, session, ops, again, answers).await
}

/// Answers a question. An error ends the session.
pub(super) async fn ask<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    question: Question,
) -> Result<SessionEvent> {
    let sent = Time::now();
    // Whoever asked may have gone.
    let failed = match question {
        Question::Held(lock_id, reply) => {
            let held = backend.held(session, &[lock_id]).await?;
            let _ = reply.send(Ok(held.first() == Some(&true)));
            None
        }
        Question::Status { of, own, reply, .. } => {
            let mut seen = backend.status(session, of.as_ref()).await;
            for seen in seen.iter_mut().flatten() {
                complete_name(backend, seen, &own);
                recognize(seen, &own);
            }
            let failed = seen.as_ref().err().cloned();
            let _ = reply.send(seen);
            failed
        }
        Question::Check(reply) => {
            let found = backend.check(session).await;
            let failed = found.as_ref().err().cloned();
            let _ = reply.send(found);
            failed
        }
        Question::Break(key, reply) => {
            let ended = end_holders(backend, session, &key).await;
            let failed = ended.as_ref().err().cloned();
            let _ = reply.send(ended);
            failed
        }
        Question::Ping(reply) => {
            let answer = backend.batch(session, PING, &mut Vec::new()).await;
            let failed = answer.as_ref().err().cloned();
            let _ = reply.send(answer);
            failed
        }
    };
    match failed {
        Some(error) if !backend.survives(&error) => Err(error),
        _ => Ok(SessionEvent::Told { sent }),
    }
}

/// Ends the sessions that hold this key, whosever they are.
async fn end_holders<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    key: &NativeKey,
) -> Result<Vec<String>> {
    let seen = backend.status(session, Some(key)).await?;
    let ids: Vec<i64> = seen.iter().flat_map(|seen| &seen.holders).filter_map(|p| p.id).collect();
    let tags = backend.tags(session, &ids).await?;
    // Those that hold it now that it is known which they are: a number alone may be another's by now.
    let seen = backend.status(session, Some(key)).await?;
    let mut ended = Vec::new();
    for party in seen.into_iter().flat_map(|seen| seen.holders) {
        let tag = tags.iter().find(|tag| party.id == Some(tag.id));
        let mut answers = Vec::new();
        if let Some(tag) = tag {
            let end = BatchItem { what: Op::End(*tag), ticket: 0 };
            backend.batch(session, &[end], &mut answers).await?;
        }
        if answers != [Answer::Yes] {
            let source = Arc::from(Box::from(format!("cannot end {}", party.holder.who)));
            return Err(Error::permission(backend.label(), backend.right_to_end(), source));
        }
        ended.push(party.holder.who);
    }
    Ok(ended)
}

/// Gives a lock its name, if the server shows only the beginning of that and a session of this locker's
/// has, or waits for, just one key that begins so.
fn complete_name<B: SessionBackend>(backend: &B, seen: &mut LockView, own: &[OwnSession]) {
    let held = own.iter().filter(|own| seen.holders.iter().any(|party| own.is(party)));
    let held = held.filter_map(|own| own.held.as_ref()).map(|(key, _)| key);
    let waits = own.iter().filter(|own| seen.waiters.iter().any(|party| own.is(party)));
    let keys = held.chain(waits.filter_map(|own| own.waits.as_ref()));
    let mut keys = keys.filter(|key| backend.is_shown_cut(key, &seen.lock_id.key));
    if let Some(key) = keys.next()
        && keys.all(|other| other == key)
    {
        seen.lock_id.key = key.clone();
    }
}

/// Says which of the sessions that the server shows are this locker's own. One that waits stands
/// for any number of callers, whom the engine knows.
fn recognize(seen: &mut LockView, own: &[OwnSession]) {
    seen.waiters.retain(|party| !own.iter().any(|own| own.is(party)));
    for party in &mut seen.holders {
        let same = |own: &&OwnSession| own.is(party);
        if own.iter().any(|own| same(&own)) {
            let held = own.iter().filter(same).filter_map(|own| own.held.as_ref());
            let since = held.filter(|(key, _)| *key == seen.lock_id.key).map(|(_, since)| since);
            party.holder.held_for =
                since.map(|since| since.elapsed()).max().or(party.holder.held_for);
            party.holder.who.insert_str(0, "this process, ");
        }
    }
}

/// Changes the mode of what is held. An error of which the backend does not say that all is as it was
/// ends the session.
async fn convert<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    lock_id: &LockId,
    to: Mode,
    time: Duration,
) -> Result<SessionEvent> {
    let sent = Time::now();
    match backend.convert(session, lock_id, to, time).await {
        Err(error) if !matches!(error, Error::Unsupported { .. }) && !backend.survives(&error) => {
            Err(error)
        }
        end => Ok(SessionEvent::Converted { end, sent }),
    }
}

async fn wait<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    lock_id: &LockId,
    time: Duration,
) -> Result<SessionEvent> {
    let mut sent = Time::now();
    let end = backend.wait(session, lock_id, time).await?;
    let granted = end == Waited::Granted;
    // The server counts the session's silence from now, but we know only when we asked: if that
    // was long ago, ask once more.
    if granted && backend.session_ttl().is_some_and(|ttl| sent.elapsed() > ttl / 4) {
        sent = Time::now();
        backend.batch(session, PING, &mut Vec::new()).await?;
    }
    Ok(SessionEvent::Waited { end, sent })
}
