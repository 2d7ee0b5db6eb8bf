//! Status: the holders and waiters of locks as the server shows them, and the findings of a check.

pub(crate) mod holder;
pub(crate) mod lost;
pub(crate) mod rows;

use std::fmt::{self, Display};

use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::holder::Holder;

/// One lock, as the server shows it. Made by [`Locker::status`](crate::Locker::status).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStatus {
    /// The key that locks it with this locker. PostgreSQL shows only ids. So a key that this locker
    /// neither holds nor waits for is [`Key::native`] of its id there. A key of another namespace
    /// or another program is shown by the server's name. The same applies to a long key whose name
    /// ends in a hash.
    pub key: Key,
    /// The server's name for the lock.
    pub native: NativeKey,
    /// The mode in which it is held.
    pub mode: Mode,
    /// The holders: one entry for each session or lease. With [`permits`](crate::Lock::permits),
    /// one entry for each permit that is taken.
    pub holders: Vec<Holder>,
    /// The waiters, the longest wait first. For this locker, one entry for each waiting caller. For
    /// others, the server shows one entry for each waiting session, for any number of tasks. It
    /// does not show waiters that poll: callers beyond `max_sessions`, and all that wait for a
    /// lease.
    pub waiters: Vec<Holder>,
}

/// Shows one line: the key, the mode, the holders and the waiters.
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

/// The database's name for a key, and how to look up its holders by hand. Made by
/// [`Locker::explain`](crate::Locker::explain).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// The database's name for the key.
    pub native: NativeKey,
    /// A statement that returns one row for each holder, and no row if the key is free.
    pub sql: String,
}

/// The findings of [`Locker::check`](crate::Locker::check).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// The findings, the most severe first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Returns `true` if no finding is a [problem](Severity::Problem).
    pub fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity != Severity::Problem)
    }
}

/// Shows one line for each finding.
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

/// A fact about the set-up that a person should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The severity of the finding.
    pub severity: Severity,
    /// The fact that was found.
    pub what: String,
    /// The remedy.
    pub remedy: String,
}

#[cfg(feature = "_database")]
impl Finding {
    #[cfg(feature = "_server")]
    pub(crate) fn problem(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { severity: Severity::Problem, what: what.into(), remedy: remedy.into() }
    }

    pub(crate) fn note(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { severity: Severity::Note, what: what.into(), remedy: remedy.into() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.severity, self.what, self.remedy)
    }
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Locks will fail or be lost, now or under load.
    Problem,
    /// Locks work. Something else does not work, or works less well than it could.
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
