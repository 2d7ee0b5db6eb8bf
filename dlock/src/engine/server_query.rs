//! What callers want to know of the server.

use std::convert::identity;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::actor::Actor;
use super::callers::Callers;
use super::executor::{Executor, Reply};
use super::lock_table::GrantId;
use super::map::Map;
use super::spawn_boxed;
use crate::backend::LockView;
use crate::error::{Error, Result};
use crate::sort::{sort_by, sort_by_key};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::holder::Holder;
use crate::status::rows::Row;
use crate::status::{Finding, Report};

/// How long the server may take to answer what a person asks.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long the examination of a set-up may take: many questions one after the other.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);

// What does not need the executor is compiled once, and not for each kind of it.
impl<E: Executor> Actor<E> {
    /// Asks whether this is held. Without an answer in time it is not known.
    pub(super) fn verify(&mut self, id: GrantId, reply: Reply<bool>) {
        let Some((_, (lock_id, grant))) = self.callers.granted.held(id) else {
            // Whoever asks has been told of the loss, or will be by the dropped reply.
            return;
        };
        let (ask, answer) = oneshot::channel();
        self.executor.verify(lock_id, *grant, ask);
        tell_whether_held(self.executor.label(), answer, reply);
    }

    /// Asks who holds and who waits, of all keys.
    pub(super) fn status(&mut self, reply: Reply<Vec<Row>>) {
        let (ask, answer) = oneshot::channel();
        self.executor.status(ask);
        tell_status(self.executor.label(), &self.callers, answer, reply);
    }

    /// Takes a key from whoever holds it.
    pub(super) fn break_lock(&mut self, key: NativeKey, reply: Reply<Vec<String>>) {
        let (ask, answer) = oneshot::channel();
        self.executor.break_lock(key, ask);
        tell(self.executor.label(), ANSWER_TIME_MAX, answer, reply, identity);
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self, reply: Reply<()>) {
        let (ask, answer) = oneshot::channel();
        self.executor.ping(ask);
        tell(self.executor.label(), ANSWER_TIME_MAX, answer, reply, identity);
    }

    /// Asks what is wrong with the set-up.
    pub(super) fn check(&mut self, reply: Reply<Report>) {
        let (ask, answer) = oneshot::channel();
        self.executor.check(ask);
        tell(self.executor.label(), CHECK_TIME_MAX, answer, reply, report);
    }
}

/// Passes the answer to a question on in this form, or an error when there is none in time. If there
/// will be none, the asker is told by the dropped reply.
fn tell<T, U>(
    label: Box<str>,
    time: Duration,
    answer: oneshot::Receiver<Result<T>>,
    reply: Reply<U>,
    form: impl FnOnce(T) -> U + Send + 'static,
) where
    T: Send + 'static,
    U: Send + 'static,
{
    spawn_boxed(Box::pin(async move {
        if let Some(answer) = in_time(&label, time, answer).await {
            let _ = reply.send(answer.map(form));
        }
    }));
}

fn tell_whether_held(label: Box<str>, answer: oneshot::Receiver<Result<bool>>, reply: Reply<bool>) {
    spawn_boxed(Box::pin(async move {
        let held = in_time(&label, ANSWER_TIME_MAX, answer).await;
        let held = held.unwrap_or_else(|| Err(Error::unavailable(&label, SessionEnded)));
        let _ = reply.send(held);
    }));
}

fn report(mut findings: Vec<Finding>) -> Report {
    sort_by_key(&mut findings, |finding| finding.severity);
    Report { findings }
}

fn tell_status(
    label: Box<str>,
    callers: &Callers,
    answer: oneshot::Receiver<Result<Vec<LockView>>>,
    reply: Reply<Vec<Row>>,
) {
    let mut known: Map<NativeKey, Key> = Map::default();
    let mut waiting: Map<NativeKey, (Mode, Vec<Holder>)> = Map::default();
    for request in callers.requests.values() {
        let LockId { key, mode } = &request.lock_id;
        known.insert(key.clone(), request.key.clone());
        if request.patient {
            let who = format!("this process, pid {}", std::process::id());
            let (_, line) = waiting.entry(key.clone()).or_insert((*mode, Vec::new()));
            line.push(Holder::new(who, Some(request.asked.elapsed())));
        }
    }
    for (_, hold, lock_id) in callers.granted.all_held() {
        known.insert(lock_id.key.clone(), hold.key.clone());
    }
    tell(label, ANSWER_TIME_MAX, answer, reply, move |seen: Vec<LockView>| {
        let mut row = |seen: LockView| {
            let native = seen.lock_id.key;
            let ours = waiting.remove(&native).map(|(_, ours)| ours).unwrap_or_default();
            let theirs = seen.waiters.into_iter().map(|party| party.holder);
            Row {
                key: known.get(&native).cloned(),
                native,
                mode: seen.lock_id.mode,
                holders: seen.holders.into_iter().map(|party| party.holder).collect(),
                waiters: theirs.chain(ours).collect(),
            }
        };
        let mut rows: Vec<Row> = seen.into_iter().map(&mut row).collect();
        let mut rest: Vec<_> = waiting.into_iter().collect();
        sort_by(&mut rest, |(a, _), (b, _)| a.cmp(b));
        rows.extend(rest.into_iter().map(|(native, (mode, waiters))| Row {
            key: known.get(&native).cloned(),
            native,
            mode,
            holders: Vec::new(),
            waiters,
        }));
        rows
    });
}

/// What its own callers are called in answers.
pub(super) fn this_process() -> String {
    format!("process {}", std::process::id())
}

/// The answer, or an error when there is none in that time; nothing when there will be none.
async fn in_time<T>(
    label: &str,
    time: Duration,
    answer: oneshot::Receiver<Result<T>>,
) -> Option<Result<T>> {
    match timeout(time, answer).await {
        Ok(answer) => answer.ok(),
        Err(_) => Some(Err(Error::unavailable(label, NoAnswer(time)))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection ended over the question")]
struct SessionEnded;

#[derive(Debug, thiserror::Error)]
#[error("no answer in {0:?}")]
struct NoAnswer(Duration);
