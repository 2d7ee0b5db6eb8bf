//! The holder of a lock that others wait for.

use std::fmt::{self, Display};
use std::time::Duration;

/// The reason why a lock was not granted in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// This process holds the lock, and other tasks of this process came first.
    Process,
    /// Another process, or another locker, holds the lock.
    Database,
    /// Nobody holds the lock: the work of this [period](crate::Lock::once_per) is already done.
    Done,
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Process => "held by this process",
            Stage::Database => "held by another session of the database",
            Stage::Done => "done already in this period",
        })
    }
}

/// A holder of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// A description of the process or session, as far as known.
    pub who: String,
    /// How long it has held the lock, if known.
    pub held_for: Option<Duration>,
    /// The text that it has set with [`Lock::data`](crate::Lock::data).
    pub data: Option<String>,
}

impl Holder {
    /// Creates a holder, for tests of code that receives one. `held_for` is how long it has held
    /// the lock, if known.
    pub fn new(who: impl Into<String>, held_for: Option<Duration>) -> Self {
        Holder { who: who.into(), held_for, data: None }
    }
}

/// Shows who the holder is and, if known, its data and how long it has held the lock:
/// `pid 7, for 12.0 s`.
impl Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.who)?;
        self.data.as_ref().map_or(Ok(()), |data| write!(f, ", {data:?}"))?;
        self.held_for.map_or(Ok(()), |time| write!(f, ", for {}", Seconds(time)))
    }
}

/// What a row of a lease without an owner shows: its holder has gone, and nobody is to have it yet.
pub(crate) const KEPT: &str = "released, and kept from others for a while";

/// Text of somebody else, such as what a program calls itself, for messages of one line: nothing in it
/// ends the line, moves the cursor or turns the text around, and it is no longer than a line is.
#[cfg(feature = "_database")]
pub(crate) fn foreign(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown = String::new();
    for c in text.chars() {
        if shown.len() >= LONGEST {
            shown.push('…');
            break;
        }
        match c {
            '"' | '\'' => shown.push(c),
            // What is not to be printed comes out as its number.
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// A duration for people.
pub(crate) struct Seconds(pub(crate) Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            s if s < 1.0 => write!(f, "{:.0} ms", s * 1000.0),
            s if s < 60.0 => write!(f, "{s:.1} s"),
            s => write!(f, "{s:.0} s"),
        }
    }
}

/// A holder for people, where there is one.
pub(crate) struct By<'a>(pub(crate) &'a Option<Box<Holder>>);

impl Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |holder| write!(f, " ({holder})"))
    }
}

/// Names for people.
pub(crate) struct Names<'a>(pub(crate) &'a [String]);

impl Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("there is none"),
            names => write!(f, "there are: {}", names.join(", ")),
        }
    }
}

/// How a locker of that name is installed.
pub(crate) struct Install<'a>(pub(crate) &'a str);

impl Display for Install<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "default" => f.write_str("dlock::init(url)")?,
            name => write!(f, "dlock::registry::install({name:?}, locker)")?,
        }
        // Only who tests knows what that is.
        if cfg!(feature = "test-util") {
            f.write_str(", or in a test testing::Locker::install_scoped on this thread,")?;
        }
        Ok(())
    }
}

/// That a lock was not free in that time, for people. A single try has none.
pub(crate) struct Within(pub(crate) Duration);

impl Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => f.write_str("is taken"),
            time => write!(f, "was not free within {}", Seconds(time)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_timeout_says_how_long_was_waited_if_there_was_a_wait() {
        let text = |waited| {
            let (key, stage) = ("k".into(), Stage::Process);
            Error::Timeout { key, waited, stage, holder: None }.to_string()
        };
        assert_eq!(
            text(Duration::ZERO),
            "lock \"k\" is taken: held by this process; try later, or look for what holds it"
        );
        assert!(text(Duration::from_millis(20)).contains("was not free within 20 ms"));
    }

    #[test]
    fn a_locker_that_is_not_there_is_to_be_installed_by_its_name() {
        let text = |name: &str| {
            Error::NotInstalled { name: name.into(), installed: Vec::new() }.to_string()
        };
        assert!(text("default").contains("; call dlock::init(url)"));
        assert!(text("billing").contains("; call dlock::registry::install(\"billing\", locker)"));
    }

    #[test]
    #[cfg(feature = "_database")]
    fn foreign_text_stays_on_its_line() {
        assert_eq!(foreign("billing-7, Ada's \"job\" é"), "billing-7, Ada's \"job\" é");
        assert_eq!(foreign("a\nb\u{1b}[31m\u{202e}\\"), "a\\nb\\u{1b}[31m\\u{202e}\\\\");
        assert!(foreign(&"\n".repeat(10_000)).chars().count() < 220);
    }
}
