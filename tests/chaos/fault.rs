//! The faults of a holder, and what is expected of each.

use std::time::Duration;

use dlock_tests::Backend;

use crate::faults::{HEARTBEAT, NEWS};

/// What happens to a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Killed,
    Frozen,
    FrozenShortly,
    CutOff,
    Unheard,
    Unanswered,
    Closed,
    Ended,
    ClockSet,
    Forked,
    ForkedAndKilled,
    OutOfMemory,
}

impl Fault {
    pub(crate) fn all_on(backend: Backend) -> Vec<Self> {
        let mut all = vec![Fault::Killed, Fault::Frozen, Fault::FrozenShortly];
        all.extend([Fault::Forked, Fault::ForkedAndKilled, Fault::OutOfMemory]);
        if backend != Backend::Sqlite {
            all.extend([Fault::CutOff, Fault::Unheard, Fault::Unanswered, Fault::Closed]);
            // SQLite has no other clock: tests/lease/clocks.rs.
            all.push(Fault::ClockSet);
        }
        if backend.is_server() {
            all.push(Fault::Ended);
        }
        all
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Killed => "the holder is killed",
            Fault::Frozen => "the holder is frozen",
            Fault::FrozenShortly => "the holder is frozen for 0.4 s",
            Fault::CutOff => "the holder is cut off",
            Fault::Unheard => "the holder's statements are lost",
            Fault::Unanswered => "the server's answers are lost",
            Fault::Closed => "the holder's connection closes",
            Fault::Ended => "the server ends the session",
            Fault::ClockSet => "the holder's clock is set",
            Fault::Forked => "the holder forks",
            Fault::ForkedAndKilled => "the holder is killed, its fork lives",
            Fault::OutOfMemory => "the holder runs out of memory",
        }
    }

    /// Whether the holder should not even notice.
    pub(crate) fn is_harmless(self) -> bool {
        matches!(self, Fault::FrozenShortly | Fault::ClockSet | Fault::Forked)
    }

    pub(crate) fn needs_proxy(self) -> bool {
        matches!(self, Fault::CutOff | Fault::Unheard | Fault::Unanswered | Fault::Closed)
    }

    /// For how long the holder may go on beside the next one: only where the server frees the lock by itself.
    pub(crate) fn overlap_max(self, backend: Backend) -> Duration {
        match self {
            Fault::Closed | Fault::Ended if backend.is_silent() => NEWS + HEARTBEAT,
            Fault::Closed | Fault::Ended => NEWS,
            _ => Duration::ZERO,
        }
    }

    /// Whether the lock is free while the holder is still out of touch. SQL Server and Oracle do not end the session of a
    /// client that is frozen or cannot be reached, and one that is frozen in a write keeps the file of SQLite from all
    /// others: there the next one comes afterwards. A fork has a copy of the connection, which stays open as long as it
    /// lives: to the server, its dead parent is one that cannot be reached.
    pub(crate) fn frees_in_time(self, backend: Backend) -> bool {
        let is_patient = matches!(backend, Backend::Mssql | Backend::Oracle);
        match self {
            Fault::Frozen => !is_patient && backend != Backend::Sqlite,
            Fault::CutOff | Fault::Unheard | Fault::ForkedAndKilled => !is_patient,
            _ => true,
        }
    }
}
