//! What faults cost, in numbers.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use dlock_tests::{Backend, history, tabulate, tell};

/// What came of one fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// When the holder was told, if it lived and lost the lock.
    told: Option<Duration>,
    /// The holder has kept the lock through the fault.
    kept: bool,
    /// When the next one had the lock.
    next: Duration,
    /// For how long both worked under it.
    pub(crate) overlap: Duration,
}

impl Outcome {
    /// By what the holder has written down. Times are counted from the fault; that of the news from when the holder
    /// could know.
    pub(crate) fn read(file: &Path, fault_at: u64, told_from: Option<u64>, next: u64) -> Self {
        let held = history::read(file, "the holder", told_from.is_none());
        let until = held.iter().map(|hold| hold.until).max().unwrap_or(0);
        let since = |from: u64, time: u64| Duration::from_nanos(time.saturating_sub(from));
        let told = told_from.and_then(|from| Some(since(from, history::told(file)?)));
        Outcome { told, kept: false, next: since(fault_at, next), overlap: since(next, until) }
    }

    /// A fault after which nobody was granted anything for this long, and no two held one key: its holders' histories say so.
    #[allow(dead_code, reason = "the cluster tests use it")]
    pub(crate) fn pause(next: Duration) -> Self {
        Outcome { told: None, kept: false, next, overlap: Duration::ZERO }
    }

    /// The same of a holder that has kept its lock, and was ended afterwards.
    pub(crate) fn kept(self) -> Self {
        Outcome { kept: true, ..self }
    }
}

/// Those of one fault on one database.
#[derive(Debug)]
pub(crate) struct Figures {
    fault: &'static str,
    outcomes: Vec<Outcome>,
}

impl Figures {
    pub(crate) fn new(fault: &'static str) -> Self {
        Figures { fault, outcomes: Vec::new() }
    }

    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Adds a line to the summary, and a row to the table of docs/reliability.md where one is made.
    pub(crate) fn report(&self, backend: Backend) {
        self.report_to("DLOCK_TEST_RELIABILITY", &backend);
    }

    /// The same in another of its tables.
    pub(crate) fn report_to(&self, table: &str, database: &dyn Display) {
        let told = summary(self.outcomes.iter().filter_map(|outcome| outcome.told));
        let told = match self.outcomes.iter().filter(|outcome| outcome.kept).count() {
            0 => told,
            kept if kept == self.outcomes.len() => "keeps it".to_owned(),
            kept => format!("{told}, keeps it {kept} times"),
        };
        let next = summary(self.outcomes.iter().map(|outcome| outcome.next));
        let overlaps: Vec<_> =
            self.outcomes.iter().map(|o| o.overlap).filter(|overlap| !overlap.is_zero()).collect();
        let longest = overlaps.iter().max();
        let overlaps = match longest {
            None => "none".to_owned(),
            Some(longest) => format!("{}, {} ms at most", overlaps.len(), longest.as_millis()),
        };
        let (fault, runs) = (self.fault, self.outcomes.len());
        tabulate(&format!(
            "fault: {fault:<33} {database:<15} told {told:<16} next {next:<16} overlaps {overlaps}"
        ));
        tell(table, &format!("| {fault} | {database} | {runs} | {told} | {next} | {overlaps} |"));
    }
}

/// The median and the longest, in milliseconds.
fn summary(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<_> = times.map(|time| time.as_millis()).collect();
    times.sort_unstable();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(longest)) => format!("{median} / {longest} ms"),
        _ => "–".to_owned(),
    }
}
