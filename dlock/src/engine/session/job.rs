//! What a session is asked to do.

use super::core::{Job, OwnSession};
use crate::backend::LockView;
use crate::engine::executor::Reply;
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// What the task of a session is to do.
pub(super) enum Order {
    Do(Job<Question>),
    /// Disconnect in peace.
    Close,
}

/// What somebody else than the engine wants to know.
pub(super) enum Question {
    /// Whether this is held.
    Held(LockId, Reply<bool>),
    /// Who holds and who waits: of this key, or of all. `spare`: only if it is in nobody's way.
    Status { of: Option<NativeKey>, own: Vec<OwnSession>, spare: bool, reply: Reply<Vec<LockView>> },
    /// What is wrong with the set-up.
    Check(Reply<Vec<Finding>>),
    /// End the sessions that hold this; who they were.
    Break(NativeKey, Reply<Vec<String>>),
    /// Whether it answers.
    Ping(Reply<()>),
}

impl Question {
    /// Whether anybody waits for the answer.
    pub(super) fn is_wanted(&self) -> bool {
        match self {
            Question::Held(_, reply) => !reply.is_closed(),
            Question::Status { reply, .. } => !reply.is_closed(),
            Question::Check(reply) => !reply.is_closed(),
            Question::Break(_, reply) => !reply.is_closed(),
            Question::Ping(reply) => !reply.is_closed(),
        }
    }

    /// Answers it with an error.
    pub(super) fn fail(self, error: &Error) {
        match self {
            Question::Held(_, reply) => drop(reply.send(Err(error.clone()))),
            Question::Status { reply, .. } => drop(reply.send(Err(error.clone()))),
            Question::Check(reply) => drop(reply.send(Err(error.clone()))),
            Question::Break(_, reply) => drop(reply.send(Err(error.clone()))),
            Question::Ping(reply) => drop(reply.send(Err(error.clone()))),
        }
    }
}
