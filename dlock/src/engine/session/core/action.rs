//! What the core is told, and what it has done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backend::{Answer, BatchItem, SessionTag, Waited};
use crate::clock::{Time, Validity};
use crate::engine::executor::Report;
use crate::engine::short_list::ShortList;
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

/// The number of a session; none is given twice.
pub(crate) type SessionId = u64;
/// The number of a question that somebody else than the engine has asked. The driver knows who.
pub(crate) type QuestionId = u64;

/// The time of one turn of the loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// By the clock of timers.
    pub(crate) clock: Instant,
    /// By the clock of validities, which goes on while the machine is suspended.
    pub(crate) time: Time,
}

/// What the driver does, in this order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Connect. The session's task ends the validity when it ends.
    Connect { session: SessionId, validity: Arc<Validity> },
    /// Ask a session this, behind what it was asked before.
    Send { session: SessionId, job: Job },
    /// Disconnect in peace, when all is done that it was asked.
    Close { session: SessionId },
    /// Drop the connection now: the session's state is in doubt, and its validity has ended.
    Drop { session: SessionId },
    /// Close the session of the desk: its place is needed.
    CloseDesk,
    /// Answer a question with the error of the moment.
    Fail { question: QuestionId },
    /// Tell the table.
    Report(Report),
    /// Log that the server has ended a wait as a deadlock.
    LogDeadlock { lock_id: LockId },
}

/// What a session is asked. The core knows questions by their number.
#[derive(Debug)]
pub(crate) enum Job<Q = QuestionId> {
    /// Tries, unlocks and the like; a sign of life when there is none.
    /// `again`: some of it is about what the session holds already, and goes on holding.
    /// `careful`: it is a write, and others' locks depend on the session.
    Batch { ops: Arc<[BatchItem]>, again: bool, careful: bool },
    /// Answer this question.
    Ask(Q),
    /// Wait for this key, at most this long.
    Wait { lock_id: LockId, time: Duration },
    /// Hold in another mode what is held, waiting at most this long.
    Convert { lock_id: LockId, to: Mode, time: Duration },
}

impl Job {
    /// The same with the question itself; `None`: nobody asks it any more.
    pub(crate) fn with_question<Q>(
        self,
        find: impl FnOnce(QuestionId) -> Option<Q>,
    ) -> Option<Job<Q>> {
        Some(match self {
            Job::Batch { ops, again, careful } => Job::Batch { ops, again, careful },
            Job::Ask(question) => Job::Ask(find(question)?),
            Job::Wait { lock_id, time } => Job::Wait { lock_id, time },
            Job::Convert { lock_id, to, time } => Job::Convert { lock_id, to, time },
        })
    }
}

/// What a session tells.
#[derive(Debug)]
pub(crate) enum SessionEvent {
    /// `left`: how many connections the server has left for clients, if that is known.
    Opened { tag: SessionTag, left: Option<i64> },
    /// The answers to a batch that was sent then.
    Answered { answers: ShortList<Answer>, sent: Time },
    /// The batch failed, and was done in parts; nothing is held by those that failed.
    Parts { answers: Vec<Result<Answer>>, sent: Time },
    /// Nothing of the batch was done: it might have to wait for another server.
    Unwritten { sent: Time },
    /// A question was answered.
    Told { sent: Time },
    /// How a wait ended, as the server confirmed at the earliest then.
    Waited { end: Waited, sent: Time },
    /// What became of a change of a lock's mode; after an error the mode is what it was.
    Converted { end: Result<Waited>, sent: Time },
    /// It is over with this session.
    Died(Error),
}
