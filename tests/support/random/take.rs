//! One use of a lock: how it is taken, what happens under it, how it ends; as data and as a line of
//! text.

use std::fmt;
use std::str::FromStr;

use super::words::{Line, Words};

/// How long a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Patience {
    /// One try.
    #[default]
    No,
    /// So many milliseconds.
    For(u64),
    /// For ever; so the call must be cancelled one day.
    Forever,
}

/// Names that stand in plans for the variants of an enum.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub enum $name { $($(#[$of])* $variant,)* }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $($name::$variant => $text,)* })
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($name::$variant),)*
                    _ => Err(format!("there is no {} {text:?}", stringify!($name))),
                }
            }
        }
    };
}
pub(super) use named;

named! {
    /// By which call it is taken.
    How {
        /// `acquire`.
        #[default]
        Acquire = "acquire",
        /// `try_acquire`.
        Try = "try",
        /// `run`.
        Run = "run",
        /// `acquire_blocking`.
        AcquireBlocking = "acquire_blocking",
        /// `try_acquire_blocking`.
        TryBlocking = "try_blocking",
        /// `run_blocking`.
        RunBlocking = "run_blocking",
    }
}

named! {
    /// How a guard ends.
    Finish {
        /// `release`.
        #[default]
        Release = "release",
        /// `release_blocking`.
        ReleaseBlocking = "release_blocking",
        /// Dropped.
        Drop = "drop",
        /// Dropped on a thread outside of any runtime.
        DropOnThread = "drop_on_thread",
        /// Leaked.
        Leak = "leak",
        /// Dropped by a panic.
        Panic = "panic",
    }
}

named! {
    /// What becomes of a locker of the call's own.
    Solo {
        /// It is dropped after the guard.
        #[default]
        Kept = "kept",
        /// It is dropped before the guard, which is then its last user.
        Dropped = "dropped",
        /// It is closed while the lock is held.
        Closed = "closed",
    }
}

impl How {
    /// Whether the call blocks its thread.
    pub fn is_blocking(self) -> bool {
        matches!(self, How::AcquireBlocking | How::TryBlocking | How::RunBlocking)
    }

    /// Whether it runs a body under the lock.
    pub fn is_run(self) -> bool {
        matches!(self, How::Run | How::RunBlocking)
    }

    /// Whether it is one try.
    pub fn is_try(self) -> bool {
        matches!(self, How::Try | How::TryBlocking)
    }
}

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

/// One use of a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Take {
    /// Begins so many microseconds after what was before it.
    pub after: u64,
    /// On which locker of its process.
    pub locker: usize,
    /// On a locker of its own instead.
    pub solo: Option<Solo>,
    /// The locker of its own is idle for so many milliseconds before it is used.
    pub idle: u64,
    /// The keys; with `together` by `lock_all`, else there is one.
    pub keys: Vec<u8>,
    /// By `lock_all`.
    pub together: bool,
    /// Shared.
    pub shared: bool,
    /// As one of so many; 0: as a plain lock.
    pub permits: u32,
    /// `min_hold` in milliseconds.
    pub min_hold: u64,
    /// Reentrant.
    pub reentrant: bool,
    /// With an `on_lost`.
    pub on_lost: bool,
    /// Fenced.
    pub fenced: bool,
    /// With an owner that is named after the locker.
    pub owner: bool,
    /// `ttl` in milliseconds; 0: the locker's.
    pub ttl: u64,
    /// Not renewed.
    pub no_renew: bool,
    /// `retry_every` in milliseconds; 0: none.
    pub retry: u64,
    /// How long it may wait.
    pub wait: Patience,
    /// By which call.
    pub how: How,
    /// A blocking call is made right in the task.
    pub inline: bool,
    /// The call is dropped after so many microseconds.
    pub cancel: Option<u64>,
    /// Held for so many milliseconds.
    pub hold: u64,
    /// What happens meanwhile.
    pub inside: Vec<Inside>,
    /// How it ends.
    pub end: Finish,
    /// Afterwards another locker tries the keys at once.
    pub probe: bool,
}

impl Take {
    /// What it looks like in a plan.
    pub fn to_line(&self, first: &str) -> String {
        let mut line = Line::new(first);
        let keys: Vec<String> = self.keys.iter().map(u8::to_string).collect();
        line.text("keys", &keys.join(","));
        line.value("after", &self.after);
        line.value("locker", &self.locker);
        if let Some(solo) = self.solo {
            line.text("solo", &solo.to_string());
        }
        line.value("idle", &self.idle);
        line.flag("together", self.together);
        line.flag("shared", self.shared);
        line.value("permits", &self.permits);
        line.value("min_hold", &self.min_hold);
        line.flag("reentrant", self.reentrant);
        line.flag("on_lost", self.on_lost);
        line.flag("fenced", self.fenced);
        line.flag("owner", self.owner);
        line.value("ttl", &self.ttl);
        line.flag("no_renew", self.no_renew);
        line.value("retry", &self.retry);
        match self.wait {
            Patience::No => {}
            Patience::For(time) => line.text("wait", &time.to_string()),
            Patience::Forever => line.text("wait", "forever"),
        }
        line.text("how", &self.how.to_string());
        line.flag("inline", self.inline);
        if let Some(cancel) = self.cancel {
            line.text("cancel", &cancel.to_string());
        }
        line.value("hold", &self.hold);
        if !self.inside.is_empty() {
            let inside: Vec<String> = self.inside.iter().map(Inside::to_string).collect();
            line.text("inside", &inside.join(","));
        }
        line.text("end", &self.end.to_string());
        line.flag("probe", self.probe);
        line.end()
    }

    /// From the words behind the first one of such a line.
    pub fn from_line(line: &str) -> Self {
        let mut words = Words::of(line);
        let keys = words.text("keys").unwrap_or_default().split(',');
        let take = Take {
            keys: keys.map(|key| key.parse().unwrap()).collect(),
            after: words.or_default("after"),
            locker: words.or_default("locker"),
            solo: words.value("solo"),
            idle: words.or_default("idle"),
            together: words.flag("together"),
            shared: words.flag("shared"),
            permits: words.or_default("permits"),
            min_hold: words.or_default("min_hold"),
            reentrant: words.flag("reentrant"),
            on_lost: words.flag("on_lost"),
            fenced: words.flag("fenced"),
            owner: words.flag("owner"),
            ttl: words.or_default("ttl"),
            no_renew: words.flag("no_renew"),
            retry: words.or_default("retry"),
            wait: match words.text("wait") {
                None => Patience::No,
                Some("forever") => Patience::Forever,
                Some(time) => Patience::For(time.parse().unwrap()),
            },
            how: words.or_default("how"),
            inline: words.flag("inline"),
            cancel: words.value("cancel"),
            hold: words.or_default("hold"),
            inside: words.text("inside").map_or_else(Vec::new, |inside| {
                inside.split(',').map(|one| one.parse().unwrap()).collect()
            }),
            end: words.or_default("end"),
            probe: words.flag("probe"),
        };
        words.end();
        take
    }
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
