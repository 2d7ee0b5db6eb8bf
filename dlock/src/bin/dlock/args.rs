//! What can be asked for on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use dlock::KeyScheme;

/// Locks for scripts, on the database that you already run.
#[derive(Debug, Parser)]
#[command(
    name = "dlock",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit status: the command's own; 75 busy, 74 lock lost, 69 server unreachable, 64 usage, \
        77 a right is missing, 78 set-up refused, 126 and 127 the command cannot be run or is not found, \
        128+n ended by signal n."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The database: postgres://, mysql://, sqlite://, lease+… (others can read it here: prefer DLOCK_URL)
    #[arg(long, global = true, env = "DLOCK_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Keys of different namespaces never meet
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Whose rules name locks: dlock, sqlalchemy-dlock, pals:APP, postgresql-lock, django
    #[arg(long, global = true, value_name = "SCHEME", value_parser = scheme)]
    pub(crate) scheme: Option<KeyScheme>,
    /// One JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say what is done
    #[arg(short, long, global = true, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command under a lock
    Run(Box<Run>),
    /// Hold a lock until stdin closes, or a process has gone
    Hold(Hold),
    /// List all locks: who holds, who waits
    Ls(Ls),
    /// Say who holds a key
    Who {
        /// What is locked
        key: String,
    },
    /// Wait until a key is free
    Wait(Wait),
    /// Exit with 0 if a key is free, with 75 if it is held
    Test {
        /// What is locked
        key: String,
    },
    /// End a lock that somebody else holds
    Break(Break),
    /// Show what the database calls a key, and how to look it up by hand
    Explain {
        /// What is locked
        key: String,
    },
    /// Look for what is wrong with the set-up
    Check,
    /// Print the statements that make the lease table
    Ddl {
        /// The table's name, with its schema if it is to be in one
        #[arg(long, default_value = "dlock_leases")]
        table: String,
    },
    /// Print completions for a shell
    Completions {
        /// Which one
        shell: Shell,
    },
    /// Print the manual page
    Man,
}

/// `dlock run`
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// What to lock: all of them or none
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// Do not wait: one try
    #[arg(short = 'n', long, conflicts_with = "wait")]
    pub(crate) no_wait: bool,
    /// How long to wait, in seconds or as 500ms, 5m, 1h; for ever if neither is given
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
    /// Shared with others who say so
    #[arg(short, long)]
    pub(crate) shared: bool,
    /// At most this many at once
    #[arg(long, value_name = "N", conflicts_with = "shared")]
    pub(crate) permits: Option<u32>,
    /// Others get the lock this long after it was granted, at the earliest
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) min_hold: Option<Duration>,
    /// At most one run with status 0 in this time, over all hosts; leases only
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "permits")]
    pub(crate) once_per: Option<Duration>,
    /// Exit with this status when busy
    #[arg(short = 'E', long, value_name = "STATUS", conflicts_with = "skip")]
    pub(crate) busy_status: Option<u8>,
    /// Exit with 0 when busy
    #[arg(long)]
    pub(crate) skip: bool,
    /// What becomes of the command when the lock is lost
    #[arg(long, value_enum, default_value_t = OnLost::Term, value_name = "WHAT")]
    pub(crate) on_lost: OnLost,
    /// How long the command has to end, from TERM to KILL
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub(crate) grace: Duration,
    /// Draw a fencing token, for DLOCK_FENCE
    #[arg(long)]
    pub(crate) fenced: bool,
    /// How long a vanished holder keeps the lock
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    /// The command and its arguments, after --
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// What becomes of the command when its lock is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnLost {
    /// TERM to its process group, KILL after the grace
    Term,
    /// KILL to its process group at once
    Kill,
    /// It goes on; the exit status tells
    Continue,
}

/// `dlock hold`
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    /// What to lock
    pub(crate) key: String,
    /// How long to wait for it
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
    /// Do not wait: one try
    #[arg(short = 'n', long, conflicts_with = "wait")]
    pub(crate) no_wait: bool,
    /// Shared with others who say so
    #[arg(short, long)]
    pub(crate) shared: bool,
    /// Is made when the lock is held, and removed at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Hold it until this process has gone, instead of until stdin closes
    #[arg(long, value_name = "PID")]
    pub(crate) parent: Option<i32>,
}

/// `dlock ls`
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Redraw it until q is pressed
    #[arg(long)]
    pub(crate) watch: bool,
}

/// `dlock wait`
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// What is locked
    pub(crate) key: String,
    /// How long to wait; for ever if it is not given
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}

/// `dlock break`
#[derive(Debug, clap::Args)]
pub(crate) struct Break {
    /// What is locked
    pub(crate) key: String,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Seconds, or a number with a unit.
fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string());
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write seconds, or 500ms, 5m, 1h, 1d"))
}

fn scheme(text: &str) -> Result<KeyScheme, String> {
    match text.split_once(':').unwrap_or((text, "")) {
        ("dlock", "") => Ok(KeyScheme::Dlock),
        ("sqlalchemy-dlock", "") => Ok(KeyScheme::SqlalchemyDlock),
        ("postgresql-lock", "") => Ok(KeyScheme::PostgresqlLock),
        ("django" | "django-database-locks", "") => Ok(KeyScheme::DjangoDatabaseLocks),
        ("pals", app) if !app.is_empty() => Ok(KeyScheme::Pals { app: app.into() }),
        _ => Err("there are dlock, sqlalchemy-dlock, pals:APP, postgresql-lock, django".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert!(duration("-1").is_err());
        assert!(duration("soon").is_err());
    }
}
