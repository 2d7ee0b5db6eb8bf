//! Keys that no session waits for: they are tried again and again, and each gets a session in its
//! turn, unless no statement is to wait for it.
//!
//! Who tries is overtaken by everybody who waits in the server. So where keys are more than sessions, a wait leaves its session to the next key after a
//! while. That place in line is lost: each time that has happened, the key's next turn is longer.
//!
//! Pure: time is an argument.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::handle::KeyWait;
use crate::engine::lock_table::Ticket;
use crate::engine::map::Map;
use crate::spec::lock_id::LockId;
use crate::spec::options::LockOptions;

/// The pause between two tries in milliseconds, where the caller does not say it: short enough that a
/// free key is noticed, and random so that processes do not go in step.
const POLL: Range<u64> = 5..50;
/// The same before the first one, when a session is on its way that will wait instead.
const COMING: Range<u64> = 40..60;
/// How long a key has a session at first, when others have none; doubled with each turn.
const HANDOFF_TIME_MAX: Duration = Duration::from_secs(1);
/// How often it is doubled at the most.
const TURNS: u32 = 5;

/// What became of a try that was refused.
pub(super) enum PollRefusal {
    /// It was not one of these: whoever asked wanted only a try.
    Unknown,
    /// It will be tried again.
    Again,
    /// Nobody wants the key any more.
    Ended,
}

/// See the [module](self).
#[derive(Default)]
pub(super) struct Polls {
    rng: Rng,
    keys: Map<Ticket, Poll>,
    /// In the order in which they get sessions.
    line: BTreeMap<u64, Ticket>,
    last: u64,
}

struct Poll {
    lock_id: LockId,
    fenced: bool,
    /// When the caller's wait ends; the last try is made then.
    until: Option<Instant>,
    turns: u32,
    /// What the caller wants the pause between two tries to be.
    pause: Option<Duration>,
    /// Its place in line; none if no statement is to wait for it.
    place: Option<u64>,
    at: Instant,
    /// A try is on its way.
    asked: bool,
    cancelled: bool,
}

impl Poll {
    fn pause(&mut self, now: Instant, rng: &mut Rng) {
        let by_chance = || Duration::from_millis(rng.u64(POLL));
        self.at = now + self.pause.unwrap_or_else(by_chance);
        if let Some(until) = self.until.filter(|until| *until > now) {
            self.at = self.at.min(until);
        }
    }
}

impl Polls {
    /// None yet, with pauses by this chance.
    pub(super) fn new(rng: Rng) -> Self {
        Polls { rng, ..Polls::default() }
    }

    /// Nobody wants any of them any more.
    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.line.clear();
    }

    /// How many keys want a session.
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    /// Adds a key at the end of the line. `coming`: a session is free for it, or on its way.
    pub(super) fn add(
        &mut self,
        (lock_id, ticket): (LockId, Ticket),
        options: &LockOptions,
        until: Option<Instant>,
        coming: bool,
        now: Instant,
    ) {
        let wait = KeyWait {
            lock_id,
            ticket,
            fenced: options.fenced,
            until,
            turns: 0,
            pause: options.retry_every,
            turn_ends: now,
            leaves: false,
            stopped: None,
        };
        let pause = if coming { COMING } else { 0..POLL.start };
        let at = now + Duration::from_millis(self.rng.u64(pause));
        let waits = options.retry_every.is_none();
        self.enter(wait, waits, now);
        if waits && let Some(poll) = self.keys.get_mut(&ticket) {
            poll.at = at;
        }
    }

    /// A key has left its session to the next one.
    pub(super) fn come_back(&mut self, wait: KeyWait, now: Instant) {
        self.enter(wait, true, now);
    }

    /// No statement is to wait for it any more.
    pub(super) fn try_only(&mut self, wait: KeyWait, now: Instant) {
        self.enter(wait, false, now);
    }

    fn enter(&mut self, wait: KeyWait, waits: bool, now: Instant) {
        let KeyWait { lock_id, ticket, fenced, until, turns, pause, .. } = wait;
        self.last += 1;
        let place = waits.then_some(self.last);
        if let Some(place) = place {
            self.line.insert(place, ticket);
        }
        let (at, asked, cancelled) = (now, false, false);
        let mut poll = Poll { lock_id, fenced, until, turns, pause, place, at, asked, cancelled };
        poll.pause(now, &mut self.rng);
        self.keys.insert(ticket, poll);
    }

    /// Takes out the first one that is not being tried: there is a session for it.
    pub(super) fn take_first(&mut self, now: Instant) -> Option<KeyWait> {
        let is_idle = |ticket: &&Ticket| self.keys.get(ticket).is_some_and(|poll| !poll.asked);
        let ticket = *self.line.values().find(is_idle)?;
        let Poll { lock_id, fenced, until, turns, pause, .. } = self.remove(ticket)?;
        let turn_ends = now + HANDOFF_TIME_MAX * 2_u32.pow(turns.min(TURNS));
        let turns = turns.saturating_add(1);
        let (leaves, stopped) = (false, None);
        Some(KeyWait { lock_id, ticket, fenced, until, turns, pause, turn_ends, leaves, stopped })
    }

    /// It was granted, or has failed.
    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.remove(ticket);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Poll> {
        let poll = self.keys.remove(&ticket)?;
        self.leave_line(poll.place);
        Some(poll)
    }

    fn leave_line(&mut self, place: Option<u64>) {
        if let Some(place) = place {
            self.line.remove(&place);
        }
    }

    /// Nobody wants the key any more. `None`: it is none of these; else whether it is gone, or is
    /// being tried just now.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<bool> {
        let poll = self.keys.get_mut(&ticket)?;
        poll.cancelled = true;
        let (gone, place) = (!poll.asked, poll.place);
        self.leave_line(place);
        if gone {
            self.keys.remove(&ticket);
        }
        Some(gone)
    }

    /// A try of it was refused.
    pub(super) fn refused(&mut self, ticket: Ticket, now: Instant) -> PollRefusal {
        let Some(poll) = self.keys.get_mut(&ticket) else { return PollRefusal::Unknown };
        if poll.cancelled {
            self.keys.remove(&ticket);
            return PollRefusal::Ended;
        }
        poll.asked = false;
        poll.pause(now, &mut self.rng);
        PollRefusal::Again
    }

    /// What is to be tried now: key, whether with a token, ticket.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(LockId, bool, Ticket)> {
        let due = self.keys.iter_mut().filter(|(_, poll)| !poll.asked && poll.at <= now);
        let asked = due.map(|(ticket, poll)| {
            poll.asked = true;
            (poll.lock_id.clone(), poll.fenced, *ticket)
        });
        let mut asked: Vec<_> = asked.collect();
        // In the order in which they came, not in that of the map.
        asked.sort_unstable_by_key(|(_, _, ticket)| *ticket);
        asked
    }

    /// When the next one is to be tried.
    pub(super) fn next(&self) -> Option<Instant> {
        self.keys.values().filter(|poll| !poll.asked).map(|poll| poll.at).min()
    }

    /// The keys.
    pub(super) fn lock_ids(&self) -> impl Iterator<Item = &LockId> {
        self.keys.values().map(|poll| &poll.lock_id)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use crate::spec::native::NativeKey;

    const MS: Duration = Duration::from_millis(1);

    fn lock_id(id: i64) -> LockId {
        LockId::exclusive(NativeKey::Id(id))
    }

    #[test]
    fn last_try_is_made_when_the_wait_ends() {
        let now = Instant::now();
        let options = LockOptions { retry_every: Some(100 * MS), ..LockOptions::default() };
        let mut polls = Polls::default();
        polls.add((lock_id(7), 1), &options, Some(now + 250 * MS), false, now);
        // No statement is to wait for it.
        assert!(polls.len() == 0 && polls.take_first(now).is_none());
        let mut tries = Vec::new();
        while let Some(at) = polls.next().filter(|at| *at <= now + 250 * MS) {
            assert_eq!(polls.due(at).len(), 1);
            assert_eq!(polls.next(), None);
            assert!(matches!(polls.refused(1, at), PollRefusal::Again));
            tries.push((at - now).as_millis());
        }
        assert_eq!(tries, [100, 200, 250]);
        assert_eq!(polls.cancel(1), Some(true));
        assert_eq!(polls.cancel(1), None);
    }

    #[test]
    fn keys_take_turns_and_each_next_turn_is_longer() {
        let now = Instant::now();
        let mut polls = Polls::default();
        for ticket in 1..=3 {
            polls.add((lock_id(7), ticket), &LockOptions::default(), None, false, now);
        }
        let mut turns = Vec::new();
        for _ in 0..6 {
            let wait = polls.take_first(now).unwrap();
            turns.push((wait.ticket, (wait.turn_ends - now).as_secs()));
            polls.come_back(wait, now);
        }
        assert_eq!(turns, [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]);
        assert_eq!(polls.len(), 3);
    }

    #[test]
    fn one_that_is_being_tried_keeps_its_place() {
        let now = Instant::now();
        let mut polls = Polls::default();
        polls.add((lock_id(1), 1), &LockOptions::default(), None, false, now);
        assert_eq!(polls.due(now + 5 * MS).len(), 1);
        polls.add((lock_id(2), 2), &LockOptions::default(), None, false, now);
        assert_eq!(polls.take_first(now).unwrap().ticket, 2);
        assert!(polls.take_first(now).is_none());
        assert!(matches!(polls.refused(1, now), PollRefusal::Again));
        assert_eq!(polls.take_first(now).unwrap().ticket, 1);
        // What nobody wants any more ends with the answer.
        polls.add((lock_id(3), 3), &LockOptions::default(), None, false, now);
        assert_eq!(polls.due(now + 5 * MS).len(), 1);
        assert_eq!((polls.cancel(3), polls.len()), (Some(false), 0));
        assert!(matches!(polls.refused(3, now), PollRefusal::Ended));
        assert!(matches!(polls.refused(3, now), PollRefusal::Unknown));
    }
}
