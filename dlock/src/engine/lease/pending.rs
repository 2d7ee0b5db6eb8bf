//! The questions of others, with the way back to whoever asked.

use std::time::Duration;

use tokio::sync::oneshot;

use super::core::{Answer, QuestionId};
use crate::backend::LockView;
use crate::backend::lease::Lease;
use crate::engine::executor::{HandedOver, Reply};
use crate::engine::map::Map;
use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::native::NativeKey;
use crate::status::Finding;
use crate::status::lost::{LostInfo, LostReason};

/// A question that has no answer yet.
pub(super) enum Pending {
    /// Whether a lease is held.
    Held(Reply<bool>),
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
    /// Give a lease to a token.
    Token(Reply<HandedOver>),
    /// Take over what a token has; why that is refused.
    Adopt(oneshot::Sender<Error>),
}

/// Rows that are removed in parts: other questions, and locks, have their turn in between.
pub(super) struct Prune {
    pub(super) older_than: Duration,
    /// From this name on.
    pub(super) from: String,
    pub(super) removed: u64,
    pub(super) reply: Reply<u64>,
}

impl Pending {
    /// Whether it is to be asked, or asked again, and its answer heard.
    pub(super) fn is_wanted(&self) -> bool {
        match self {
            Pending::Held(reply) => !reply.is_closed(),
            Pending::Prune(prune) => !prune.reply.is_closed(),
            Pending::Adopt(refused) => !refused.is_closed(),
            _ => true,
        }
    }

    /// Answers it. Returns the lease that was handed over to somebody who has gone.
    fn answer(self, answer: Answer) -> Option<Lease> {
        let error = match answer {
            Answer::Failed(error) => error,
            Answer::NotHeld(key) => not_held(&key),
            Answer::Held(held) => {
                if let Pending::Held(reply) = self {
                    let _ = reply.send(Ok(held));
                }
                return None;
            }
            Answer::HandedOver { fence, ttl, lease } => {
                let Pending::Token(reply) = self else { return Some(lease) };
                return reply.send(Ok(HandedOver { fence, ttl })).is_err().then_some(lease);
            }
            Answer::Adopted => return None,
        };
        match self {
            Pending::Held(reply) => drop(reply.send(Err(error))),
            Pending::Status(_, reply) => drop(reply.send(Err(error))),
            Pending::Check(reply) => drop(reply.send(Err(error))),
            Pending::Break(_, reply) => drop(reply.send(Err(error))),
            Pending::Ping(reply) => drop(reply.send(Err(error))),
            Pending::Prune(Prune { reply, .. }) => drop(reply.send(Err(error))),
            Pending::Token(reply) => drop(reply.send(Err(error))),
            Pending::Adopt(refused) => drop(refused.send(error)),
        }
        None
    }
}

/// Whoever asked says for how long it had been held.
fn not_held(key: &NativeKey) -> Error {
    let (key, reason) = (Key::of_native(key), LostReason::NotHeld);
    LostInfo { key, reason, held_for: Duration::ZERO }.into()
}

/// All of them, by what the core calls them.
#[derive(Default)]
pub(super) struct AllPending {
    all: Map<QuestionId, Pending>,
    last: QuestionId,
}

impl AllPending {
    /// The name of a question that is to be asked.
    pub(super) fn add(&mut self, question: Pending) -> QuestionId {
        self.last += 1;
        self.all.insert(self.last, question);
        self.last
    }

    /// One that is with the database, so that it is answered there.
    pub(super) fn take(&mut self, id: QuestionId) -> Option<Pending> {
        self.all.remove(&id)
    }

    pub(super) fn put_back(&mut self, id: QuestionId, question: Pending) {
        self.all.insert(id, question);
    }

    /// Answers one. Returns the lease that was handed over to somebody who has gone.
    pub(super) fn answer(&mut self, id: QuestionId, answer: Answer) -> Option<Lease> {
        self.all.remove(&id)?.answer(answer)
    }
}
