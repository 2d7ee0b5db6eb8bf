//! One use of a lock: how it is taken, what happens under it, how it ends; as data and as a line of
//! text.

use super::inside::Inside;
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
