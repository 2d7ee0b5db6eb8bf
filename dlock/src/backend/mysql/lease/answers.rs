//! What the rows of an answer say.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::mysql::MySqlRow;

use crate::backend::lease::{Lease, Taken};
use crate::backend::mysql::{integer, text};

/// The first column of what was found before anything was given back.
pub(crate) const BEFORE: &str = "0";
/// And of what was found in the end.
pub(crate) const AFTER: &str = "1";
/// And the only one of a row which says that the server is read-only: then another one may be the primary, and what was read
/// before may be out of date.
pub(crate) const IS_READ_ONLY: &str = "2";

/// Of a lone take the answer is the fence, or this and how many microseconds the row still lasts.
pub(crate) const HELD: u64 = 1 << 63;

/// What became of a lone take.
pub(crate) fn lone(answer: u64) -> Taken {
    match answer {
        // Somebody between has swallowed it.
        0 => Taken::Held(None),
        fence if fence < HELD => Taken::Granted(Some(fence)),
        held => Taken::Held(Some(Duration::from_micros(held - HELD))),
    }
}

/// Whether the server said that it is read-only.
pub(crate) fn is_read_only(rows: &[MySqlRow]) -> bool {
    rows.iter().any(|row| text(row, 0).as_deref() == Some(IS_READ_ONLY))
}

/// Rows by their name, as it was asked for, before and after the change.
pub(crate) struct Answers {
    before: HashMap<String, Row>,
    after: HashMap<String, Row>,
}

struct Row {
    owner: String,
    fence: Option<u64>,
    /// In microseconds; negative when it has run out.
    left: i64,
}

impl Answers {
    /// Of rows of [`BEFORE`] or [`AFTER`], name, owner, fence, and the time that is left.
    pub(crate) fn of(rows: &[MySqlRow]) -> Self {
        let mut answers = Answers { before: HashMap::new(), after: HashMap::new() };
        for row in rows {
            let (Some(when), Some(name)) = (text(row, 0), text(row, 1)) else { continue };
            // One whose time is not known has none.
            let found = Row {
                owner: text(row, 2).unwrap_or_default(),
                fence: text(row, 3).and_then(|fence| fence.parse().ok()),
                left: integer(row, 4).unwrap_or(i64::MIN),
            };
            match &*when {
                BEFORE => drop(answers.before.insert(name, found)),
                AFTER => drop(answers.after.insert(name, found)),
                _ => {}
            }
        }
        answers
    }

    /// Whether the row was still ours.
    pub(crate) fn released(&self, lease: &Lease) -> bool {
        self.before.get(&*lease.name()).is_some_and(|row| row.is_of(lease))
    }

    /// Whether the row is ours and has not run out.
    pub(crate) fn held(&self, lease: &Lease) -> bool {
        self.after.get(&*lease.name()).is_some_and(|row| row.is_of(lease) && row.left > 0)
    }

    /// What became of a take.
    pub(crate) fn taken(&self, lease: &Lease, fences: bool) -> Taken {
        let row = self.after.get(&*lease.name());
        match row.filter(|row| row.is_of(lease) && row.left > 0 && row.fence.is_some() == fences) {
            Some(row) => Taken::Granted(row.fence),
            None => Taken::Held(
                row.map(|row| Duration::from_micros(u64::try_from(row.left).unwrap_or_default())),
            ),
        }
    }
}

impl Row {
    fn is_of(&self, lease: &Lease) -> bool {
        self.owner == lease.owner.as_str() && lease.fence.is_none_or(|f| self.fence == Some(f))
    }
}
