//! What is done under a lock.

use std::fmt;
use std::str::FromStr;

use super::take::How;

/// The same key once more, under the lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Again {
    /// By which call.
    pub how: How,
    /// As a reentrant lock.
    pub reentrant: bool,
    /// As a lock without permits, where the outer one has some.
    pub plain: bool,
    /// The inner guard outlives the body.
    pub kept: bool,
    /// With a `min_hold` of so many milliseconds.
    pub min_hold: u64,
    /// With an `on_lost`.
    pub on_lost: bool,
}

/// What happens while the lock is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// `verify`.
    Verify,
    /// `protect` of a short body.
    Protect,
    /// The same key again.
    Again(Again),
}

impl fmt::Display for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = match self {
            Inside::Verify => return f.write_str("verify"),
            Inside::Protect => return f.write_str("protect"),
            Inside::Again(again) => again,
        };
        write!(f, "again:{}", again.how)?;
        for (name, on) in [
            ("reentrant", again.reentrant),
            ("plain", again.plain),
            ("kept", again.kept),
            ("on_lost", again.on_lost),
        ] {
            if on {
                write!(f, ":{name}")?;
            }
        }
        if again.min_hold > 0 {
            write!(f, ":{}", again.min_hold)?;
        }
        Ok(())
    }
}

impl FromStr for Inside {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(':');
        match words.next() {
            Some("verify") => return Ok(Inside::Verify),
            Some("protect") => return Ok(Inside::Protect),
            Some("again") => {}
            _ => return Err(format!("nothing is done by {text:?}")),
        }
        let how = words.next().unwrap_or_default().parse()?;
        let mut again = Again { how, ..Again::default() };
        for word in words {
            match word {
                "reentrant" => again.reentrant = true,
                "plain" => again.plain = true,
                "kept" => again.kept = true,
                "on_lost" => again.on_lost = true,
                time => {
                    again.min_hold = time.parse().map_err(|_| format!("{time:?} in {text:?}"))?
                }
            }
        }
        Ok(Inside::Again(again))
    }
}
