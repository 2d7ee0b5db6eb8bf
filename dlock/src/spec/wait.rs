//! How long an acquire may wait.

use std::time::Duration;

/// A century: from here on a timeout means "for ever". An `Instant` this far away is still exact
/// everywhere, and nobody means it as a deadline.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// How long an acquire may wait for the lock.
///
/// A [`Duration`] converts into it: zero is [`Wait::NoWait`], and a century or more is [`Wait::Forever`]. Other waits
/// are exact: they are rounded up to what the database can count, never down.
///
/// ```
/// use std::time::Duration;
/// use dlock::Wait;
///
/// assert_eq!(Wait::from(Duration::ZERO), Wait::NoWait);
/// assert_eq!(Wait::from(Duration::from_millis(300)), Wait::For(Duration::from_millis(300)));
/// assert_eq!(Wait::from(Duration::MAX), Wait::Forever);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
    /// One try, which never waits for the lock. It waits at most 5 s for the server.
    NoWait,
    /// Waits at most this long.
    For(Duration),
    /// Waits until the lock is granted.
    Forever,
}

impl From<Duration> for Wait {
    fn from(timeout: Duration) -> Self {
        if timeout.is_zero() {
            Wait::NoWait
        } else if timeout >= CENTURY {
            Wait::Forever
        } else {
            Wait::For(timeout)
        }
    }
}

impl Wait {
    /// Long enough for a queue of people, short enough that a stuck holder is noticed by those who
    /// wait and not by those who wait for them.
    pub(crate) const DEFAULT: Wait = Wait::For(Duration::from_secs(30));

    /// The same wait in one form: `For(ZERO)` and `For(Duration::MAX)` made by hand mean what the
    /// conversion from [`Duration`] makes of them.
    pub(crate) fn normal(self) -> Self {
        match self {
            Wait::For(timeout) => timeout.into(),
            other => other,
        }
    }
}
