//! A plan: what several processes do with their locks, and what happens to them meanwhile. Written
//! and read as a short text, a line for each step, so that a person can read and change it.

use std::fmt::Write as _;

use super::take::{Take, named};
use super::words::{Line, Words};

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The time to live of sessions and leases, in milliseconds.
    pub ttl: u64,
    /// Who takes part.
    pub processes: Vec<Process>,
    /// What happens to them.
    pub troubles: Vec<Trouble>,
}

/// A process: its tasks go on side by side, their steps one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// The threads of its runtime; 0: a current-thread runtime.
    pub threads: usize,
    /// Its lockers.
    pub lockers: Vec<LockerPlan>,
    /// What its tasks do.
    pub tasks: Vec<Vec<Step>>,
    /// How it ends.
    pub end: End,
    /// Its runtime is dropped after so many milliseconds, whatever its tasks do then; 0: it is not.
    pub cut: u64,
}

/// How a locker is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockerPlan {
    /// `max_sessions`; 0: the default.
    pub sessions: u32,
    /// Its engine is on a runtime of its own.
    pub runtime: bool,
}

/// A step of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A lock is used.
    Take(Take),
    /// `status` is asked of that locker, after so many milliseconds.
    Status(usize, u64),
    /// That locker is closed, after so many milliseconds.
    Close(usize, u64),
    /// The runtime of that locker's engine ends, after so many milliseconds.
    EndRuntime(usize, u64),
}

named! {
    /// How a process ends.
    End {
        /// Its lockers are closed.
        #[default]
        Close = "close",
        /// Its lockers are dropped, then `main` returns.
        Return = "return",
        /// By `exit`, with all there is.
        Exit = "exit",
    }
}

/// What happens from outside, and when: milliseconds after the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What happens from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// SIGKILL for that process.
    Kill(usize),
    /// SIGSTOP for that process, SIGCONT so many milliseconds later.
    Freeze(usize, u64),
    /// The server ends the session of a holder.
    EndHolder,
    /// The server ends all sessions.
    EndSessions,
}

impl Plan {
    /// As text.
    pub fn to_text(&self) -> String {
        let mut text = format!("ttl {}\n", self.ttl);
        for process in &self.processes {
            let mut line = Line::new("process");
            line.value("threads", &process.threads);
            line.value("cut", &process.cut);
            line.text("end", &process.end.to_string());
            let _ = writeln!(text, "{}", line.end());
            for locker in &process.lockers {
                let mut line = Line::new("locker");
                line.value("sessions", &locker.sessions);
                line.flag("runtime", locker.runtime);
                let _ = writeln!(text, "{}", line.end());
            }
            for task in &process.tasks {
                let _ = writeln!(text, "task");
                for step in task {
                    let _ = writeln!(text, "  {}", step.to_line());
                }
            }
        }
        for Trouble { at, what } in &self.troubles {
            let what = match what {
                What::Kill(process) => format!("kill={process}"),
                What::Freeze(process, time) => format!("freeze={process} for={time}"),
                What::EndHolder => "end_holder".to_owned(),
                What::EndSessions => "end_sessions".to_owned(),
            };
            let _ = writeln!(text, "trouble at={at} {what}");
        }
        text
    }

    /// From text. Lines that begin with `#` are for people.
    pub fn from_text(text: &str) -> Self {
        let mut plan = Plan::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            let mut words = Words::of(rest);
            match first {
                "ttl" => {
                    plan.ttl = rest.parse().unwrap();
                    continue;
                }
                "process" => plan.processes.push(Process {
                    threads: words.or_default("threads"),
                    cut: words.or_default("cut"),
                    end: words.or_default("end"),
                    ..Process::default()
                }),
                "locker" => plan.last().lockers.push(LockerPlan {
                    sessions: words.or_default("sessions"),
                    runtime: words.flag("runtime"),
                }),
                "task" => plan.last().tasks.push(Vec::new()),
                "trouble" => plan
                    .troubles
                    .push(Trouble { at: words.or_default("at"), what: trouble(&mut words) }),
                _ => {
                    let step = Step::from_line(first, rest);
                    plan.last().tasks.last_mut().expect("a task before its steps").push(step);
                    continue;
                }
            }
            words.end();
        }
        plan
    }

    fn last(&mut self) -> &mut Process {
        self.processes.last_mut().expect("a process before what belongs to it")
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.processes.iter().flat_map(|process| &process.tasks).map(Vec::len).sum()
    }
}

fn trouble(words: &mut Words<'_>) -> What {
    if let Some(process) = words.value("kill") {
        What::Kill(process)
    } else if let Some(process) = words.value("freeze") {
        What::Freeze(process, words.or_default("for"))
    } else if words.flag("end_holder") {
        What::EndHolder
    } else if words.flag("end_sessions") {
        What::EndSessions
    } else {
        panic!("unknown trouble: {words:?}")
    }
}

impl Step {
    fn to_line(&self) -> String {
        let of_locker = |first: &str, locker: usize, after: u64| {
            let mut line = Line::new(first);
            line.value("locker", &locker);
            line.value("after", &after);
            line.end()
        };
        match self {
            Step::Take(take) => take.to_line("take"),
            Step::Status(locker, after) => of_locker("status", *locker, *after),
            Step::Close(locker, after) => of_locker("close", *locker, *after),
            Step::EndRuntime(locker, after) => of_locker("end_runtime", *locker, *after),
        }
    }

    fn from_line(first: &str, rest: &str) -> Self {
        if first == "take" {
            return Step::Take(Take::from_line(rest));
        }
        let mut words = Words::of(rest);
        let (locker, after) = (words.or_default("locker"), words.or_default("after"));
        words.end();
        match first {
            "status" => Step::Status(locker, after),
            "close" => Step::Close(locker, after),
            "end_runtime" => Step::EndRuntime(locker, after),
            _ => panic!("unknown step {first:?}"),
        }
    }
}
