//! What has come together for the carrier and the writer, and is not sent yet.

use std::time::Instant;

use super::action::QuestionId;
use super::roles::Demand;
use crate::backend::{BatchItem, Op};
use crate::engine::lock_table::Ticket;
use crate::spec::lock_id::LockId;

/// Returns `true` if it is a first question for a key that is wanted with a token.
pub(super) fn is_fenced(item: &BatchItem) -> bool {
    matches!(item.what, Op::TryFenced(_))
}

/// An emptied list keeps room for so many items.
const ROOM_MAX: usize = 256;

/// Has an emptied list take the place of one that has nothing yet, which need not be allocated then.
pub(super) fn reuse(mut emptied: Vec<BatchItem>, list: &mut Vec<BatchItem>) {
    if list.is_empty() {
        emptied.shrink_to(ROOM_MAX);
        *list = emptied;
    }
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Gathered {
    /// Tries, and orders to other sessions.
    items: Vec<BatchItem>,
    /// What somebody else than the engine wants to know, for the carrier when it has time.
    questions: Vec<QuestionId>,
}

impl Gathered {
    /// A first question for a key.
    pub(super) fn try_key(&mut self, lock_id: LockId, fenced: bool, ticket: Ticket) {
        let what = if fenced { Op::TryFenced(lock_id) } else { Op::Try(lock_id) };
        self.items.push(BatchItem { what, ticket });
    }

    pub(super) fn push(&mut self, item: BatchItem) {
        self.items.push(item);
    }

    pub(super) fn extend(&mut self, items: impl IntoIterator<Item = BatchItem>) {
        self.items.extend(items);
    }

    pub(super) fn ask(&mut self, question: QuestionId) {
        self.questions.push(question);
    }

    pub(super) fn take_items(&mut self) -> Vec<BatchItem> {
        std::mem::take(&mut self.items)
    }

    /// Takes an emptied list back, so that it is not allocated anew.
    pub(super) fn give_back(&mut self, items: Vec<BatchItem>) {
        reuse(items, &mut self.items);
    }

    pub(super) fn take_questions(&mut self) -> Vec<QuestionId> {
        std::mem::take(&mut self.questions)
    }

    /// Takes out the writes.
    pub(super) fn take_writes(&mut self) -> Vec<BatchItem> {
        self.items.extract_if(.., |item| is_fenced(item)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.questions.is_empty()
    }

    pub(super) fn has(&self, kind: impl Fn(&BatchItem) -> bool) -> bool {
        self.items.iter().any(kind)
    }

    /// What sessions are needed for: for this, for so many keys that are waited for, and perhaps for a sign of life.
    pub(super) fn demand(&self, waits: usize, sign_of_life: bool, careful: bool) -> Demand {
        Demand {
            plain: sign_of_life || !self.questions.is_empty() || self.has(|item| !is_fenced(item)),
            fenced: self.has(is_fenced),
            waits,
            careful,
        }
    }
}

/// Writes that find no session.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Since when there is none for what is to be written.
    unwritten: Option<Instant>,
    /// Until when a session that keeps other locks is not to write, for that might take longer than others' locks
    /// last.
    unshared: Option<Instant>,
}

impl Writes {
    /// `unwritable`: there is no session for what is to be written.
    pub(super) fn note(&mut self, unwritable: bool, clock: Instant) {
        self.unwritten = self.unwritten.or(Some(clock)).filter(|_| unwritable);
    }

    /// A session that keeps other locks has not written, because that might have taken too long.
    pub(super) fn share_not_before(&mut self, at: Instant) {
        self.unshared = Some(at);
    }

    /// Returns `true` if a session that keeps other locks may be asked to write, if it finds that nothing stops that.
    pub(super) fn may_share(&self, clock: Instant) -> bool {
        self.unshared.is_none_or(|until| until <= clock)
    }

    /// Returns `true`, once, if they have waited for so long.
    pub(super) fn give_up(&mut self, after: std::time::Duration, clock: Instant) -> bool {
        self.unwritten.take_if(|since| clock.saturating_duration_since(*since) >= after).is_some()
    }

    /// When they are given up.
    pub(super) fn ends(&self, after: std::time::Duration) -> Option<Instant> {
        self.unwritten.map(|since| since + after)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_are_given_up_once_and_count_from_the_first_flush_without_a_session() {
        const MS: Duration = Duration::from_millis(1);
        let (mut writes, now) = (Writes::default(), Instant::now());
        writes.note(true, now);
        writes.note(true, now + 400 * MS);
        assert_eq!(writes.ends(500 * MS), Some(now + 500 * MS));
        assert!(!writes.give_up(500 * MS, now + 499 * MS));
        assert!(writes.give_up(500 * MS, now + 500 * MS));
        assert!(!writes.give_up(500 * MS, now + 600 * MS));
        writes.note(true, now);
        writes.note(false, now);
        assert_eq!(writes.ends(500 * MS), None);
        writes.share_not_before(now + MS);
        assert!(!writes.may_share(now) && writes.may_share(now + MS));
    }
}
