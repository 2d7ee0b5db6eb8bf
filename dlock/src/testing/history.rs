//! The history of a test locker's locks.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::spec::key::Key;
use crate::spec::mode::Mode;

/// An event of a lock of a [`testing::Locker`](super::Locker).
///
/// It compares equal to a pair of event kind and key. So whole histories can be compared:
///
/// ```
/// # fn main() -> dlock::Result<()> {
/// use dlock::testing::What::{Released, Taken};
///
/// let dlock = dlock::testing::Locker::new();
/// dlock.lock("export").run_blocking(|_| ())?;
/// assert_eq!(dlock.history(), [(Taken, "export"), (Released, "export")]);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The kind of the event.
    pub what: What,
    /// The key of the lock.
    pub key: Key,
    /// The mode in which the lock was held or requested.
    pub mode: Mode,
    /// The time since the locker was made, by the locker's clock.
    pub at: Duration,
}

/// The kind of an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// A call did not get the lock at once, and began to wait.
    Waited,
    /// A call got the lock.
    Taken,
    /// A call did not get the lock: its time was up, it did not wait, or an error occurred.
    Refused,
    /// The lock was released, or handed over with a token.
    Released,
    /// The lock was lost while it was held.
    Lost,
}

impl<K: AsRef<[u8]> + ?Sized> PartialEq<(What, &K)> for Event {
    fn eq(&self, (what, key): &(What, &K)) -> bool {
        self.what == *what && self.key == Key::from(key.as_ref())
    }
}

impl Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Waited => "waited",
            What::Taken => "taken",
            What::Refused => "refused",
            What::Released => "released",
            What::Lost => "lost",
        })
    }
}

/// Shows one line: the kind, the key, the mode and the time.
impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { what, key, mode, at } = self;
        write!(f, "{what} \"{key}\" ({mode}) after {at:?}")
    }
}
