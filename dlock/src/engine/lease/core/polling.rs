//! The keys that are asked for, and when to ask again.
//!
//! Nobody tells us that a lease is free, so a key that is waited for is polled: at short intervals
//! first, then at longer ones, all with jitter so that processes do not go in step.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::batch_size::Backoff;
use super::options::ResolvedOptions;
use crate::backend::lease::Lease;
use crate::clock::Time;
use crate::engine::lock_table::Ticket;
use crate::engine::map::{SeededMap, seeded};
use crate::spec::native::NativeKey;

/// What is due so soon goes out with what is due now.
const TOGETHER: Duration = Duration::from_millis(1);
/// For how long a refusal is evidence that others want a key.
const MEMORY: Duration = Duration::from_secs(1);

/// A key that is asked for.
pub(super) struct Ask {
    ticket: Ticket,
    lease: Lease,
    resolved: ResolvedOptions,
    /// Nobody wants it any more; only the answer that is on its way counts.
    cancelled: bool,
    backoff: Backoff,
    /// It is with the database.
    sent: bool,
    due: Instant,
    poll: Option<Poll>,
}

impl Ask {
    pub(super) fn ticket(&self) -> Ticket {
        self.ticket
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// Whether nobody wants it any more.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    pub(super) fn into_options(self) -> ResolvedOptions {
        self.resolved
    }

    /// It is to be asked by then; one that was busy alone not before it can go out.
    fn hurry(&mut self, at: Instant) {
        let at = self.backoff.at().map_or(at, |earliest| earliest.max(at));
        self.due = self.due.min(at);
    }

    /// At intervals of ours, and it is not with the database.
    fn is_polled(&self) -> bool {
        !self.sent && self.poll.is_some() && self.resolved.retry_every().is_none()
    }
}

struct Poll {
    until: Option<Instant>,
    pause: Duration,
}

/// What is known of others who want a key.
struct Rivals {
    refused: Instant,
    /// When that was asked.
    sent: Time,
    /// When we gave the key back.
    released: Option<Instant>,
}

/// All keys that are asked for.
pub(super) struct Polling {
    /// The shortest and the longest interval between two polls of a key.
    ///
    /// A releaser leaves a key alone for the shortest when others want it: they poll, and would
    /// hardly ever find it free.
    intervals: (Duration, Duration),
    asks: SeededMap<NativeKey, Ask>,
    rivals: SeededMap<NativeKey, Rivals>,
}

impl Polling {
    pub(super) fn new(intervals: (Duration, Duration), seed: u64) -> Self {
        Polling { intervals, asks: seeded(seed), rivals: seeded(seed) }
    }

    /// Ask for this lease once.
    pub(super) fn once(
        &mut self,
        lease: Lease,
        ticket: Ticket,
        resolved: ResolvedOptions,
        (now, rng): (Instant, &mut Rng),
    ) {
        self.add(lease, ticket, resolved, None, (now, rng));
    }

    /// Ask until it is granted, and for the last time then.
    pub(super) fn until(
        &mut self,
        lease: Lease,
        ticket: Ticket,
        resolved: ResolvedOptions,
        until: Option<Instant>,
        (now, rng): (Instant, &mut Rng),
    ) {
        let pause = self.intervals.0;
        self.add(lease, ticket, resolved, Some(Poll { until, pause }), (now, rng));
    }

    fn add(
        &mut self,
        lease: Lease,
        ticket: Ticket,
        resolved: ResolvedOptions,
        poll: Option<Poll>,
        (now, rng): (Instant, &mut Rng),
    ) {
        let rivals = self.rivals.get(&lease.key).filter(|rivals| now - rivals.refused < MEMORY);
        let due = match rivals.and_then(|rivals| rivals.released) {
            Some(released) => now.max(released + self.intervals.0.mul_f64(0.2 + 0.8 * rng.f64())),
            None => now,
        };
        let (cancelled, sent, backoff) = (false, false, Backoff::default());
        let ask = Ask { ticket, lease, resolved, cancelled, backoff, sent, due, poll };
        self.asks.insert(ask.lease.key.clone(), ask);
    }

    /// Stop asking; `false` if an answer is on its way, or there is no such ask.
    pub(super) fn cancel(&mut self, key: &NativeKey, ticket: Ticket) -> bool {
        match self.asks.get_mut(key) {
            Some(ask) if ask.ticket == ticket && ask.sent => {
                ask.cancelled = true;
                false
            }
            Some(ask) if ask.ticket == ticket => self.asks.remove(key).is_some(),
            _ => false,
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.asks.values().filter(|ask| !ask.sent).map(|ask| ask.due).min()
    }

    /// What is to be sent.
    pub(super) fn due(&self, now: Instant) -> impl Iterator<Item = &Ask> {
        self.asks.values().filter(move |ask| !ask.sent && ask.due <= now + TOGETHER)
    }

    /// This one is with the database.
    pub(super) fn sent(&mut self, lease: &Lease) {
        if let Some(ask) = self.asks.get_mut(&lease.key) {
            ask.sent = true;
        }
    }

    /// The database has answered this one, or will not.
    pub(super) fn remove(&mut self, lease: &Lease) -> Option<Ask> {
        self.asks.get(&lease.key).filter(|ask| ask.lease.is_of(lease))?;
        self.asks.remove(&lease.key)
    }

    /// The database could not look at it, and it is to be asked again.
    pub(super) fn put_back(&mut self, ask: Ask, backoff: Backoff) {
        let due = backoff.at().map_or(ask.due, |at| ask.due.max(at));
        self.ask_again(Ask { backoff, due, ..ask });
    }

    fn ask_again(&mut self, mut ask: Ask) {
        ask.sent = false;
        self.asks.insert(ask.lease.key.clone(), ask);
    }

    /// Somebody else has this key, for so `long` if nothing changes. Gives the ask back if that was
    /// the end of it.
    pub(super) fn refused(
        &mut self,
        mut ask: Ask,
        long: Option<Duration>,
        sent: Time,
        (now, rng): (Instant, &mut Rng),
    ) -> Option<Ask> {
        self.remember(ask.lease.key.clone(), now, sent);
        match &mut ask.poll {
            Some(poll) if !ask.cancelled => {
                ask.due = now
                    + match ask.resolved.retry_every() {
                        Some(pause) => pause,
                        None => poll.pause.mul_f64(0.5 + 0.5 * rng.f64()),
                    };
                if let Some(end) = long.and_then(|long| now.checked_add(long)) {
                    ask.due = ask.due.min(end);
                }
                if let Some(until) = poll.until.filter(|until| *until > now) {
                    ask.due = ask.due.min(until);
                }
                poll.pause = (poll.pause * 3 / 2).min(self.intervals.1);
                ask.backoff = Backoff::default();
                self.ask_again(ask);
                None
            }
            _ => Some(ask),
        }
    }

    /// Whether others had this key when that was last asked, and that was after this.
    pub(super) fn refused_after(&self, key: &NativeKey, since: Time) -> bool {
        self.rivals.get(key).is_some_and(|rivals| rivals.sent >= since)
    }

    /// Asks for this key now, if it is asked for at all.
    pub(super) fn ask_now(&mut self, key: &NativeKey, now: Instant) -> bool {
        let Some(ask) = self.asks.get_mut(key) else { return false };
        ask.hurry(now);
        true
    }

    /// Whether something that nobody wants any more may be granted yet.
    pub(super) fn any_is_given_up(&self) -> bool {
        self.asks.values().any(|ask| ask.cancelled)
    }

    /// Whether word of a change is of use.
    pub(super) fn are_polled(&self) -> bool {
        self.asks.values().any(Ask::is_polled)
    }

    /// The table has changed: what is polled may be free, or will be in a moment. Who asks often
    /// already goes on as it is, for others may write all the time.
    pub(super) fn hurry(&mut self, now: Instant, rng: &mut Rng) {
        let shortest = self.intervals.0;
        for ask in self.asks.values_mut().filter(|ask| ask.is_polled()) {
            if let Some(poll) = &mut ask.poll
                && poll.pause > shortest * 4
            {
                poll.pause = shortest;
                ask.hurry(now + shortest.mul_f64(rng.f64()));
            }
        }
    }

    /// We gave this key back.
    pub(super) fn released(&mut self, key: &NativeKey, now: Instant) {
        if let Some(rivals) = self.rivals.get_mut(key) {
            rivals.released = Some(now);
        }
    }

    fn remember(&mut self, key: NativeKey, now: Instant, sent: Time) {
        const MANY: usize = 1024;
        if self.rivals.len() >= MANY {
            self.rivals.retain(|_, rivals| now - rivals.refused < MEMORY);
        }
        self.rivals.insert(key, Rivals { refused: now, sent, released: None });
    }
}
