//! What really happened, written down by those it happened to, by one clock.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::take::Take;
use crate::clock::now;

/// One line: when, in which process, about which call, what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since the machine was started.
    pub at: u64,
    /// The process, by its number in the plan.
    pub process: usize,
    /// `TASK.STEP`, and `/N` for each call inside of it; or what the entry is about.
    pub call: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A call begins. `under`: right under the lock of the call that it is inside of.
    Asks {
        /// Whose locker it is, for all calls of one locker the same.
        locker: String,
        /// Inside of a body that runs under the lock of the outer call.
        under: bool,
        /// What is asked for.
        take: Box<Take>,
    },
    /// The lock was surely held at this time.
    Holds(Option<u64>),
    /// The holder knows that it has lost the lock.
    Told,
    /// The holder begins to let go.
    Lets(Letting),
    /// It is told that it has let go.
    Free,
    /// The call came to this.
    Ends(Outcome),
    /// Its `on_lost` was called.
    Callback,
    /// A locker begins to close.
    Closes,
    /// A locker is closed, or its runtime gone.
    Closed,
    /// `status` was asked.
    Status,
    /// `status` has answered.
    Answered,
    /// All that is under way in this process is dropped, or the process is killed.
    Gone,
    /// The process gives up: calls have not been answered for this long.
    Stuck,
    /// The process has ended.
    Exited,
    /// The process stands still from here.
    Freezes,
    /// It goes on.
    Thaws,
    /// The server begins to end sessions.
    Cuts,
    /// It has ended sessions.
    HasCut,
}

/// How a holder lets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letting {
    /// And waits for the answer.
    Awaited,
    /// By a drop.
    Dropped,
    /// It does not.
    Leaked,
}

/// What a call came to that has given no lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// `Ok(None)`.
    Busy,
    /// `Error::Timeout`, with its stage.
    Timeout(String),
    /// Dropped by its caller.
    Cancelled,
    /// Another error: its variant, and its text.
    Failed(String, String),
}

/// Where entries are written to.
#[derive(Debug)]
pub struct Journal {
    file: File,
    process: usize,
}

impl Journal {
    /// Goes on with that file.
    pub fn append(path: &Path, process: usize) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Journal { file, process }
    }

    /// Writes down what happens now.
    pub fn write(&self, call: impl Display, what: &What) {
        self.write_at(now(), call, what);
    }

    /// Writes down what happened at that time.
    pub fn write_at(&self, at: u64, call: impl Display, what: &What) {
        // One write for each line: whatever kills the process, lines are whole.
        let line = format!("{at} {} {call} {}\n", self.process, what.to_line());
        (&self.file).write_all(line.as_bytes()).unwrap();
    }
}

impl What {
    /// As the end of a line.
    pub fn to_line(&self) -> String {
        match self {
            What::Asks { locker, under, take } => {
                let under = if *under { "under" } else { "free" };
                take.to_line(&format!("asks {locker} {under}"))
            }
            What::Holds(fence) => match fence {
                Some(fence) => format!("holds {fence}"),
                None => "holds".to_owned(),
            },
            What::Told => "told".to_owned(),
            What::Lets(Letting::Awaited) => "releases".to_owned(),
            What::Lets(Letting::Dropped) => "drops".to_owned(),
            What::Lets(Letting::Leaked) => "leaks".to_owned(),
            What::Free => "free".to_owned(),
            What::Ends(Outcome::Busy) => "busy".to_owned(),
            What::Ends(Outcome::Timeout(stage)) => format!("timeout {stage}"),
            What::Ends(Outcome::Cancelled) => "cancelled".to_owned(),
            What::Ends(Outcome::Failed(kind, text)) => {
                format!("failed {kind} {}", text.replace('\n', " "))
            }
            What::Callback => "callback".to_owned(),
            What::Closes => "closes".to_owned(),
            What::Closed => "closed".to_owned(),
            What::Status => "status".to_owned(),
            What::Answered => "answered".to_owned(),
            What::Gone => "gone".to_owned(),
            What::Stuck => "stuck".to_owned(),
            What::Exited => "exited".to_owned(),
            What::Freezes => "freezes".to_owned(),
            What::Thaws => "thaws".to_owned(),
            What::Cuts => "cuts".to_owned(),
            What::HasCut => "has_cut".to_owned(),
        }
    }

    fn from_line(line: &str) -> Self {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        match first {
            "asks" => {
                let (locker, rest) = rest.split_once(' ').unwrap();
                let (under, rest) = rest.split_once(' ').unwrap();
                let take = Box::new(Take::from_line(rest));
                What::Asks { locker: locker.to_owned(), under: under == "under", take }
            }
            "holds" => What::Holds(rest.parse().ok()),
            "told" => What::Told,
            "releases" => What::Lets(Letting::Awaited),
            "drops" => What::Lets(Letting::Dropped),
            "leaks" => What::Lets(Letting::Leaked),
            "free" => What::Free,
            "busy" => What::Ends(Outcome::Busy),
            "timeout" => What::Ends(Outcome::Timeout(rest.to_owned())),
            "cancelled" => What::Ends(Outcome::Cancelled),
            "failed" => {
                let (kind, text) = rest.split_once(' ').unwrap_or((rest, ""));
                What::Ends(Outcome::Failed(kind.to_owned(), text.to_owned()))
            }
            "callback" => What::Callback,
            "closes" => What::Closes,
            "closed" => What::Closed,
            "status" => What::Status,
            "answered" => What::Answered,
            "gone" => What::Gone,
            "stuck" => What::Stuck,
            "exited" => What::Exited,
            "freezes" => What::Freezes,
            "thaws" => What::Thaws,
            "cuts" => What::Cuts,
            "has_cut" => What::HasCut,
            _ => panic!("unknown entry {line:?}"),
        }
    }
}

/// Reads a journal.
pub fn read(text: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("a journal says {line:?}"));
        let (at, process) = (word().parse().unwrap(), word().parse().unwrap());
        let call = word().to_owned();
        Entry { at, process, call, what: What::from_line(word()) }
    };
    text.lines().map(entry).collect()
}
