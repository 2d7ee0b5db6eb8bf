//! What has happened to locks.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::spec::key::Key;
use crate::spec::mode::Mode;

/// Something that has happened to a lock of a [`testing::Locker`](super::Locker).
///
/// It compares with a pair of what and which key, so whole histories do:
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
    /// What has happened.
    pub what: What,
    /// Which lock it happened to.
    pub key: Key,
    /// How the lock was held or wanted.
    pub mode: Mode,
    /// When, by the locker's clock, since the locker was made.
    pub at: Duration,
}

/// What has happened to a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// A call did not get the lock at once, and began to wait.
    Waited,
    /// A call got the lock.
    Taken,
    /// A call did not get the lock: its time was up, it did not wait, or there was an error.
    Refused,
    /// The lock was released, or handed over by a token.
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

/// One line: what, which key, how, when.
impl Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { what, key, mode, at } = self;
        write!(f, "{what} \"{key}\" ({mode}) after {at:?}")
    }
}
