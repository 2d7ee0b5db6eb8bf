//! When a server that could not be reached is tried again, and how long it may take.

use std::time::{Duration, Instant};

/// How long connecting may take at first; longer when that was not enough.
const CONNECT_TIME_MIN: Duration = Duration::from_secs(5);
/// How long to leave a server alone that could not be reached; doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// The same of one that has no connection left for us, or few for others, as long as there is another
/// session: what we do not take, the application has.
const PAUSE_WHEN_FULL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Why a session did not come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server was not reached, or did not want us.
    Refused,
    /// It did not answer in time.
    Late,
    /// It has no connection left, or few, and other sessions of ours go on.
    Full,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Retry {
    pause: Option<(Instant, Duration)>,
    /// It is for others that no more sessions are opened.
    full: bool,
    late: u32,
}

impl Retry {
    /// No session came of it.
    pub(super) fn failed(&mut self, failure: Failure, now: Instant) {
        let (first, most) = if failure == Failure::Full { PAUSE_WHEN_FULL } else { PAUSE };
        let pause = self.pause.map_or(first, |(_, last)| (last * 2).clamp(first, most));
        self.pause = Some((now + pause, pause));
        self.full = failure == Failure::Full;
        if failure == Failure::Late {
            self.late = self.late.saturating_add(1);
        }
    }

    /// A session has come to be. If it ends before it has answered anything, the pause goes on to
    /// grow: a server that takes connections and ends them is no better than one that does not.
    pub(super) fn connected(&mut self) {
        (self.full, self.late) = (false, 0);
    }

    /// A session has given its first answer.
    pub(super) fn succeeded(&mut self) {
        *self = Retry::default();
    }

    /// Whether it is too early to try again. `connected`: there is a session; whoever has none leaves
    /// nothing to others.
    pub(super) fn is_later(&self, now: Instant, connected: bool) -> bool {
        (connected || !self.full) && self.next().is_some_and(|next| now < next)
    }

    /// When it is tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.pause.map(|(next, _)| next)
    }

    /// How long connecting may take: longer, when it was not long enough, but never more than that.
    pub(super) fn patience(&self, most: Duration) -> Duration {
        let doubled = 2_u32.saturating_pow(self.late.min(4));
        CONNECT_TIME_MIN.saturating_mul(doubled).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_away_is_asked_each_second_and_a_full_one_less_often() {
        let now = Instant::now();
        let mut retry = Retry::default();
        assert!(!retry.is_later(now, true));
        for _ in 0..10 {
            retry.failed(Failure::Refused, now);
        }
        assert_eq!(retry.next(), Some(now + Duration::from_secs(1)));
        for _ in 0..10 {
            retry.failed(Failure::Full, now);
        }
        assert_eq!(retry.next(), Some(now + Duration::from_secs(10)));
        assert!(retry.is_later(now, true) && !retry.is_later(now + Duration::from_secs(10), true));
        assert!(!retry.is_later(now, false));
        retry.failed(Failure::Refused, now);
        assert_eq!(retry.next(), Some(now + Duration::from_secs(1)));
        retry.succeeded();
        assert_eq!(retry.next(), None);
    }

    #[test]
    fn one_that_takes_long_to_connect_is_given_more_time() {
        const MOST: Duration = Duration::from_secs(10);
        let mut retry = Retry::default();
        let mut patience = Vec::new();
        for _ in 0..4 {
            patience.push(retry.patience(MOST).as_secs());
            retry.failed(Failure::Late, Instant::now());
        }
        assert_eq!(patience, [5, 10, 10, 10]);
        retry.failed(Failure::Refused, Instant::now());
        assert_eq!(retry.patience(MOST), MOST);
    }
}
