//! What a session is asked to do.

use std::sync::Arc;
use std::time::Duration;

use super::core::OwnSession;
use crate::backend::{BatchItem, LockView};
use crate::engine::executor::Reply;
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::Finding;

pub(super) enum Job {
    /// Tries, unlocks and the like; a sign of life when there is none.
    /// `again`: some of it is about what the session holds already, and goes on holding.
    /// `careful`: it is a write, and others' locks depend on the session.
    Batch { ops: Arc<Vec<BatchItem>>, again: bool, careful: bool },
    /// Answer this to whom it may concern.
    Ask(Question),
    /// Wait for this key, at most this long.
    Wait { lock_id: LockId, time: Duration },
    /// Hold what is held by this grant in another mode, waiting at most this long.
    Convert { lock_id: LockId, to: Mode, time: Duration },
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
