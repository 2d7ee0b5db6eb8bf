//! Grants that are to be held in another mode, and when the server is next asked for that.
//!
//! Only the session that holds a key can change how, and a session that holds other keys must not
//! wait: there, the server is tried again and again. One that holds nothing else waits in the
//! server, in line before those who hold nothing and where a circle of waits is found, for short
//! times: nothing can stop it, and what else is asked of the session comes between two of them.
//!
//! Pure: time is an argument.

use std::ops::Range;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::engine::lock_table::Ticket;
use crate::engine::map::Map;
use crate::spec::mode::Mode;

/// The pause between two tries in milliseconds, as for keys that no session waits for.
const POLL: Range<u64> = 5..50;

/// See the [module](self).
pub(super) struct Conversions {
    rng: Rng,
    all: Map<Ticket, Conversion>,
    /// The longest that the server waits for one before it is asked again.
    slice_max: Duration,
}

struct Conversion {
    to: Mode,
    until: Option<Instant>,
    /// One try is wanted, and no more.
    once: bool,
    at: Instant,
    /// How often the server has said no.
    refusals: u32,
    asked: bool,
    stopped: bool,
}

/// What is to be asked of the session that holds a grant.
pub(super) struct Wanted {
    pub(super) to: Mode,
    pub(super) until: Option<Instant>,
    /// How long it may wait in the server, if it may.
    pub(super) slice: Duration,
}

/// The first of the waits in the server is shorter by so many halvings, and each is twice as long as the last.
const HALVINGS: u32 = 4;

impl Conversions {
    pub(super) fn new(slice_max: Duration, rng: Rng) -> Self {
        Conversions { rng, all: Map::default(), slice_max }
    }

    pub(super) fn add(
        &mut self,
        grant: Ticket,
        to: Mode,
        (until, once): (Option<Instant>, bool),
        now: Instant,
    ) {
        let (refusals, asked, stopped) = (0, false, false);
        let conversion = Conversion { to, until, once, at: now, refusals, asked, stopped };
        self.all.insert(grant, conversion);
    }

    /// The grants that the server is to be asked about now.
    pub(super) fn due(&self, now: Instant) -> Vec<Ticket> {
        let due = self.all.iter().filter(|(_, wanted)| !wanted.asked && wanted.at <= now);
        let mut due: Vec<_> = due.map(|(grant, _)| *grant).collect();
        due.sort_unstable();
        due
    }

    /// The server is being asked.
    pub(super) fn ask(&mut self, grant: Ticket) -> Option<Wanted> {
        let conversion = self.all.get_mut(&grant)?;
        conversion.asked = true;
        let slice = self.slice_max / 2_u32.pow(HALVINGS.saturating_sub(conversion.refusals));
        let slice = if conversion.once { Duration::ZERO } else { slice };
        Some(Wanted { to: conversion.to, until: conversion.until, slice })
    }

    /// It cannot be asked now.
    pub(super) fn put_off(&mut self, grant: Ticket, now: Instant) {
        if let Some(conversion) = self.all.get_mut(&grant) {
            conversion.at = now + Duration::from_millis(self.rng.u64(POLL));
        }
    }

    /// The server has said no. Returns `false` if it is not asked again. `waited`: it had waited.
    pub(super) fn refused(&mut self, grant: Ticket, waited: bool, now: Instant) -> bool {
        let Some(conversion) = self.all.get_mut(&grant) else { return false };
        if conversion.stopped || conversion.once {
            self.all.remove(&grant);
            return false;
        }
        conversion.asked = false;
        conversion.refusals = conversion.refusals.saturating_add(1);
        if waited {
            conversion.at = now;
        } else {
            self.put_off(grant, now);
        }
        true
    }

    /// Nobody wants it any more. Returns `true` if it ends by that: the server is not being asked.
    pub(super) fn stop(&mut self, grant: Ticket) -> bool {
        let Some(conversion) = self.all.get_mut(&grant) else { return false };
        conversion.stopped = true;
        !conversion.asked && self.forget(grant)
    }

    /// It is over. Returns `false` if it was over before.
    pub(super) fn forget(&mut self, grant: Ticket) -> bool {
        self.all.remove(&grant).is_some()
    }

    /// When the server is next to be asked.
    pub(super) fn next(&self) -> Option<Instant> {
        self.all.values().filter(|wanted| !wanted.asked).map(|wanted| wanted.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICE_MAX: Duration = Duration::from_secs(1);

    #[test]
    fn server_is_asked_until_it_grants_or_nobody_wants_it() {
        let (mut all, now) = (Conversions::new(SLICE_MAX, Rng::with_seed(1)), Instant::now());
        all.add(1, Mode::Exclusive, (None, false), now);
        assert_eq!(all.due(now), [1]);
        let wanted = all.ask(1).map(|wanted| (wanted.to, wanted.slice < SLICE_MAX / 10));
        assert_eq!(wanted, Some((Mode::Exclusive, true)));
        assert!(all.due(now).is_empty() && all.next().is_none());
        // A try is made again after a pause, a wait at once.
        assert!(all.refused(1, false, now) && all.due(now).is_empty());
        assert_eq!(all.due(now + Duration::from_millis(50)), [1]);
        all.ask(1);
        assert!(all.refused(1, true, now));
        assert_eq!(all.due(now), [1]);
        all.ask(1);
        for _ in 0..9 {
            all.refused(1, true, now);
            assert!(all.ask(1).is_some_and(|wanted| wanted.slice <= SLICE_MAX));
        }
        assert!(all.ask(1).is_some_and(|wanted| wanted.slice == SLICE_MAX));
        // The answer to what is on its way is still to come.
        assert!(!all.stop(1));
        assert!(!all.refused(1, true, now) && !all.forget(1));
    }

    #[test]
    fn one_that_is_stopped_between_two_tries_is_over() {
        let (mut all, now) = (Conversions::new(SLICE_MAX, Rng::with_seed(1)), Instant::now());
        all.add(1, Mode::Exclusive, (None, false), now);
        assert!(all.stop(1) && !all.stop(1) && all.next().is_none());
    }

    #[test]
    fn single_try_is_made_once() {
        let (mut all, now) = (Conversions::new(SLICE_MAX, Rng::with_seed(1)), Instant::now());
        all.add(1, Mode::Exclusive, (None, true), now);
        assert!(all.ask(1).is_some_and(|wanted| wanted.slice.is_zero()));
        assert!(!all.refused(1, false, now) && all.next().is_none());
    }
}
