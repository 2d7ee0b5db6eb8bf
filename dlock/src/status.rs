//! What the server knows: who holds a lock, who waits for it, and what is wrong with the set-up.

pub(crate) mod holder;
pub(crate) mod lost;
pub(crate) mod rows;

use std::fmt::{self, Display};

use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::holder::Holder;

/// One lock, as the server sees it. Made by [`Locker::status`](crate::Locker::status).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStatus {
    /// The key that locks it, with this locker. PostgreSQL shows ids only: there, a key that this
    /// locker neither holds nor wants is [`Key::native`] of its id. A key of another namespace, of
    /// another program, or one so long that its name ends in a hash is shown as the server names
    /// it.
    pub key: Key,
    /// What the server calls it.
    pub native: NativeKey,
    /// How it is held.
    pub mode: Mode,
    /// Who holds it: one entry for each session or lease. With
    /// [`permits`](crate::Lock::permits) there are as many as are taken.
    pub holders: Vec<Holder>,
    /// Who waits for it, the longest wait first: one entry for each caller of this locker. Of others
    /// the server shows one for each session that waits, whatever number of tasks it waits for, and
    /// none that asks again and again instead: callers behind `max_sessions`, and all who wait for a
    /// lease.
    pub waiters: Vec<Holder>,
}

/// One line: the key, how it is held, by whom, and who waits.
impl Display for LockStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" ({})", self.key, self.mode)?;
        for (what, parties) in [("held by", &self.holders), ("waited for by", &self.waiters)] {
            for (index, party) in parties.iter().enumerate() {
                match index {
                    0 => write!(f, "; {what} {party}")?,
                    _ => write!(f, " and {party}")?,
                }
            }
        }
        Ok(())
    }
}

/// How to look a key up by hand. Made by [`Locker::explain`](crate::Locker::explain).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// What the database calls it.
    pub native: NativeKey,
    /// A statement that returns one row for each holder, and none when the key is free.
    pub sql: String,
}

/// What was found by [`Locker::check`](crate::Locker::check).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// The worst first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether there is no [problem](Severity::Problem).
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Problem)
    }
}

/// A line for each finding.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return f.write_str("nothing found");
        }
        for (index, finding) in self.findings.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

/// Something about the set-up that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.severity, self.what, self.remedy)
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Locks will fail or be lost, now or under load.
    Problem,
    /// Locks work; something else does not, or works less well than it could.
    Note,
}

impl Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Problem => "problem",
            Severity::Note => "note",
        })
    }
}
