//! What the core decides, and what it hears of it.

use std::time::Duration;

use super::now::Sent;
use super::own::OwnLease;
use crate::backend::lease::{Failure, Lease, Outcomes, Taken};
use crate::engine::executor::Report;
use crate::engine::lock_table::GrantId;
use crate::error::Error;
use crate::spec::native::NativeKey;

/// Names a question of somebody else than the engine. Never used twice.
pub type QuestionId = u64;

/// What is to be done.
#[derive(Debug)]
pub enum LeaseAction {
    /// Do this job on the connection, which is idle, and say what became of it. It may take so long.
    Send {
        /// What the database is to do.
        job: Job,
        /// For how long an answer is worth waiting for.
        patience: Duration,
    },
    /// Tell the table.
    Report(Report),
    /// Look again at what is held: it may be fresh enough by now, or somebody is to be told
    /// something.
    Look,
    /// The row that was kept from others for this hold has been given back, or has not.
    Settle {
        /// Whose hold it was.
        hold: GrantId,
        /// What became of it.
        settled: Settled,
    },
    /// Answer this question.
    Answer {
        /// Which one.
        id: QuestionId,
        /// What to say.
        answer: Answer,
    },
    /// Ask the database for a sign of life, by reading the row of this key.
    Probe {
        /// Whose row it is.
        key: NativeKey,
    },
}

/// What became of a row that was kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is kept or free, as its holder left it.
    Confirmed,
    /// It was somebody else's.
    NotHeld,
    /// It has run out without an answer.
    RanOut,
}

/// An answer to a question of somebody else.
#[derive(Debug)]
pub enum Answer {
    /// Whether the lease is held.
    Held(bool),
    /// The lease is another owner's now.
    HandedOver {
        /// Its fencing token.
        fence: Option<u64>,
        /// How long a lease of these options lasts.
        ttl: Duration,
        /// What is to be given back if nobody hears this.
        lease: Lease,
    },
    /// The lease is the asker's now, and the table knows it.
    Adopted,
    /// The lease of this key is not held.
    NotHeld(NativeKey),
    /// The database could not be asked, or said no.
    Failed(Error),
}

/// What the database is to do, with room for its answer: as long as there is none, nothing is
/// granted, given back or confirmed.
#[derive(Debug)]
pub enum Job {
    /// Give these back and take those.
    Apply {
        /// What is given back, by name.
        releases: Vec<Lease>,
        /// What is taken, by name.
        takes: Vec<Lease>,
        /// What became of them.
        outcomes: Outcomes,
    },
    /// Renew these.
    Renew {
        /// What is renewed, by name.
        leases: Vec<Lease>,
        /// Which of them had not run out.
        renewed: Vec<bool>,
    },
    /// Answer this.
    Ask {
        /// Which question it is.
        id: QuestionId,
        /// What it is about.
        question: Question,
        /// What the database says.
        found: Found,
    },
}

/// What somebody else than the engine wants of the database.
#[derive(Debug)]
pub enum Question {
    /// Whether this one is held.
    Held(Lease),
    /// Give a lease to another owner.
    Own(Box<OwnLease>),
    /// Something that changes nothing here; who carries it out knows what.
    Other,
}

/// What the database says to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet.
    Nothing,
    /// Whether the lease is held.
    Held(bool),
    /// Whether the row has its new owner.
    Own(Taken),
    /// All there is to know.
    All,
    /// A part: the rest is to be asked when it is its turn again.
    Part,
}

/// A job that is over.
#[derive(Debug)]
pub struct Done {
    /// The job, with the answer if there is one.
    pub job: Job,
    /// When it was sent; `None` if it never was.
    pub sent: Option<Sent>,
    /// Whether there is an answer.
    pub result: Result<(), Failure>,
    /// Whether whoever asked is still there to hear the answer.
    pub wanted: bool,
}
