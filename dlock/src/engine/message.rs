//! What callers tell the engine.

use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::call_clock::on_our_clock;
use super::callbacks::OnLost;
use super::conversion::Conversion;
use super::delivery::Delivery;
use super::executor::{HandedOver, Reply};
use super::grant::{Grant, GrantTerms};
use super::lock_table::{GrantId, RequestId};
use crate::error::{Error, Result};
use crate::observe::Waiting;
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::Report;
use crate::status::holder::{Holder, Stage};
use crate::status::rows::Row;
use crate::wait_group::Share;

/// A message to the engine.
pub(crate) enum Message {
    /// A caller wants a lock.
    Acquire(Box<Request>),
    /// It does not want it any more.
    Abandon(RequestId),
    /// A guard has gone. `awaited`: somebody waits for the server's confirmation.
    Release { hold: GrantId, awaited: bool },
    /// Nobody else is to have this before its `min_hold` is over, which has become longer.
    Keep { hold: GrantId },
    /// Hold this in another mode.
    Convert { hold: GrantId, wanted: Conversion },
    /// Nobody waits for that any more.
    GiveUpConversion { hold: GrantId },
    /// Ask the server whether this is still held.
    Verify { hold: GrantId, reply: Reply<bool> },
    /// Give what this holds to whoever comes with the token that this owner is of.
    IntoToken { hold: GrantId, owner: Arc<str>, reply: Reply<HandedOver> },
    /// Give back what was given to that owner: nobody knows the token.
    DropToken { key: NativeKey, owner: Arc<str> },
    /// Take over what was given to that owner.
    Adopt(Box<Adoption>),
    /// Ask the server who holds and who waits.
    Status(Reply<Vec<Row>>),
    /// Ask the server what is wrong with the set-up.
    Check(Reply<Report>),
    /// Take this key from whoever holds it; who that was.
    Break { key: NativeKey, reply: Reply<Vec<String>> },
    /// Remove the rows of keys that nobody has had for so long.
    Prune { older_than: Duration, reply: Reply<u64> },
    /// Ask the server for a sign of life.
    Ping(Reply<()>),
    /// Locking of this process was switched on, or off.
    Switched(bool),
    /// It was found out who holds these keys, if anybody; `None`: there is no answer.
    Found(Option<Vec<(NativeKey, Option<Holder>)>>),
    /// Answer then.
    Wake { id: RequestId, at: StdInstant, reply: oneshot::Sender<()> },
    /// These, as if they had come at once.
    All(Vec<Message>),
    /// Let go of everything and end. `patient`: somebody waits until nothing is left.
    Close { patient: bool },
    /// Drop this when all is confirmed that was let go before.
    ReportIdle(Share),
}

/// A caller who wants what was handed over.
pub(crate) struct Adoption {
    /// Not patient, and without an end: the statement has one.
    pub(crate) request: Box<Request>,
    pub(crate) owner: Arc<str>,
    pub(crate) fence: Option<u64>,
    /// Why it does not get it.
    pub(crate) refused: oneshot::Sender<Error>,
}

/// A caller who wants a lock. It goes through many hands, so mostly in a box.
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) key: Key,
    pub(crate) lock_id: LockId,
    /// The key that this is a permit of.
    pub(crate) family: Option<Box<NativeKey>>,
    /// How many may have the key at once: a locker for tests counts them.
    #[cfg(feature = "test-util")]
    pub(crate) permits: u32,
    /// It waits for those who hold the key.
    pub(crate) patient: bool,
    /// When the call was made and when it must have its answer: by the callers' clock until it
    /// arrives at the engine, by the engine's from then on.
    pub(crate) asked: Instant,
    pub(crate) end: Option<Instant>,
    pub(crate) options: LockOptions,
    pub(crate) on_lost: Option<OnLost>,
    /// `None`: nobody is to be told if it waits for long.
    pub(crate) waiting: Option<Box<Waiting>>,
    /// A grant travels as something live: a receiver that has gone drops it, and so releases it.
    pub(crate) reply: oneshot::Sender<Result<Delivery>>,
}

impl Request {
    /// From here on time is that of the engine's runtime.
    pub(super) fn arrive(&mut self) {
        let now = Instant::now();
        self.asked = now.checked_sub(self.asked.into_std().elapsed()).unwrap_or(now);
        self.end = self.end.map(|end| on_our_clock(end.into_std()));
    }

    /// What it is to be granted, and the way to tell it so.
    pub(super) fn into_terms(self) -> (GrantTerms, oneshot::Sender<Result<Delivery>>) {
        let Request { key, lock_id, family, options, on_lost, reply, .. } = self;
        (GrantTerms { key, lock_id, family, options, on_lost }, reply)
    }

    /// How long it has waited for the holder. A single try waits for the server only.
    pub(super) fn waited(&self) -> Duration {
        if self.patient { self.asked.elapsed() } else { Duration::ZERO }
    }

    /// Answers that somebody else has the lock.
    pub(super) fn refuse(self, waited: Duration, stage: Stage, holder: Option<Holder>) {
        let holder = holder.map(Box::new);
        let _ = self.reply.send(Err(Error::Timeout { key: self.key, waited, stage, holder }));
    }

    /// Answers as if nobody had it: locking is switched off.
    pub(super) fn let_pass(self) {
        let hold = Grant::while_off(self.key, self.lock_id.mode, self.options.fenced);
        let _ = self.reply.send(Ok(Delivery::while_off(hold)));
    }

    /// It is for what another process had: not for the next grant of the key.
    pub(super) fn is_adoption(&self) -> bool {
        !self.patient && self.end.is_none()
    }

    /// Answers with an error.
    pub(super) fn fail(self, error: Error) {
        // Whoever asked may have gone.
        let _ = self.reply.send(Err(error));
    }
}

impl Message {
    /// What it consists of.
    pub(super) fn parts(self) -> impl Iterator<Item = Message> {
        let (one, all) = match self {
            Message::All(all) => (None, all),
            one => (Some(one), Vec::new()),
        };
        one.into_iter().chain(all)
    }

    /// Answers with an error, if there is to be an answer.
    pub(super) fn fail(self, error: &Error) {
        match self {
            Message::Acquire(request) => request.fail(error.clone()),
            Message::Convert { wanted, .. } => drop(wanted.reply.send(Err(error.clone()))),
            Message::Verify { reply, .. } => drop(reply.send(Err(error.clone()))),
            Message::Status(reply) => drop(reply.send(Err(error.clone()))),
            Message::Check(reply) => drop(reply.send(Err(error.clone()))),
            Message::Ping(reply) => drop(reply.send(Err(error.clone()))),
            Message::IntoToken { reply, .. } => drop(reply.send(Err(error.clone()))),
            Message::Adopt(adoption) => adoption.request.fail(error.clone()),
            Message::Prune { reply, .. } => drop(reply.send(Err(error.clone()))),
            Message::Break { reply, .. } => drop(reply.send(Err(error.clone()))),
            _ => {}
        }
    }

    /// Whether it can share a statement with what comes next, and nobody minds the delay.
    pub(super) fn may_wait(&self) -> bool {
        matches!(self, Message::Release { awaited: false, .. })
    }

    /// Those who wait are put in line before a release that came with them is looked at, so that
    /// the lock can pass to them. A try is not: what was released before it must be free for it.
    pub(super) fn comes_first(&self) -> bool {
        matches!(self, Message::Acquire(request) if request.patient)
    }
}
