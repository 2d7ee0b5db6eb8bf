//! A journal put together: what became of each call, and what happened around them.

use std::collections::{BTreeMap, BTreeSet};

use dlock_tests::random::{Entry, Letting, Outcome, Take, What};

/// One call, from begin to end.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) process: usize,
    pub(crate) id: String,
    pub(crate) locker: String,
    /// Right under the lock of the call that it is inside of.
    pub(crate) under: bool,
    pub(crate) take: Take,
    pub(crate) began: u64,
    /// The first sign of a guard.
    pub(crate) granted: Option<u64>,
    /// The first and the last time at which the lock was surely held.
    pub(crate) sure: Option<(u64, u64)>,
    pub(crate) fence: Option<u64>,
    pub(crate) told: Option<u64>,
    pub(crate) lets: Option<(u64, Letting)>,
    pub(crate) freed: Option<u64>,
    pub(crate) ended: Option<(u64, Outcome)>,
    pub(crate) callbacks: Vec<u64>,
}

impl Call {
    /// The outermost call that this one is inside of.
    pub(crate) fn top(&self) -> (usize, &str) {
        (self.process, self.id.split('/').next().unwrap_or(&self.id))
    }

    /// The call whose grant this one has, if it gets one: a reentrant one shares that of the outer.
    pub(crate) fn grant(&self) -> (usize, &str) {
        if self.under && self.take.reentrant { self.top() } else { (self.process, &self.id) }
    }

    /// The call that this one is inside of.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.id.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// When its caller had an answer: a guard, an error, or that there is no more to be had.
    pub(crate) fn answered(&self) -> Option<u64> {
        self.granted.or(self.ended.as_ref().map(|(at, _)| *at))
    }

    /// Whether both want the same key.
    pub(crate) fn meets(&self, other: &Call) -> bool {
        self.take.keys.iter().any(|key| other.take.keys.contains(key))
    }

    /// How many may hold its key at once.
    pub(crate) fn room(&self) -> usize {
        self.take.permits.max(1) as usize
    }

    /// From when to when it kept a thread of its runtime to itself.
    fn stall(&self) -> Option<(usize, Span)> {
        let last = self.ended.as_ref().map(|(at, _)| *at).max(self.freed).max(self.told);
        let last = last.max(self.lets.map(|(at, _)| at)).max(self.granted)?;
        let stalls = self.take.how.is_blocking() && self.take.inline;
        stalls.then_some((self.process, (self.began, last)))
    }

    /// Whether it ended with this error.
    pub(crate) fn failed(&self, kind: &str) -> bool {
        matches!(&self.ended, Some((_, Outcome::Failed(other, _))) if other == kind)
    }
}

/// A question for the status.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) process: usize,
    pub(crate) id: String,
    pub(crate) began: u64,
    pub(crate) ended: Option<(u64, Option<Outcome>)>,
}

/// From when to when something went on.
pub(crate) type Span = (u64, u64);

/// All that is known of a round.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) questions: Vec<Question>,
    /// From when on nothing of a process goes on any more.
    pub(crate) gone: BTreeMap<usize, u64>,
    /// When it had surely ended.
    pub(crate) exited: BTreeMap<usize, u64>,
    /// Who has given up on calls that were not answered.
    pub(crate) stuck: BTreeSet<usize>,
    pub(crate) freezes: Vec<(usize, Span)>,
    /// When calls blocked a thread of a process's runtime, on which others may have had to wait.
    pub(crate) stalls: Vec<(usize, Span)>,
    /// When a locker began to close and when it was closed.
    pub(crate) closes: BTreeMap<String, Span>,
    /// When the server ended sessions, or was away.
    pub(crate) cuts: Vec<Span>,
    /// Failures that belong to no call.
    pub(crate) failures: Vec<(u64, String, Outcome)>,
}

impl History {
    /// Puts a journal together.
    pub(crate) fn of(entries: &[Entry]) -> Self {
        let mut entries: Vec<&Entry> = entries.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        let mut history = History::default();
        // The clock is read before a line is written: a call begins with its first line, whenever
        // that is read.
        for entry in &entries {
            if let What::Asks { locker, under, take } = &entry.what {
                history.calls.push(Call {
                    process: entry.process,
                    id: entry.call.clone(),
                    locker: locker.clone(),
                    under: *under,
                    take: (**take).clone(),
                    began: entry.at,
                    granted: None,
                    sure: None,
                    fence: None,
                    told: None,
                    lets: None,
                    freed: None,
                    ended: None,
                    callbacks: Vec::new(),
                });
            }
        }
        let index = |calls: &[Call]| -> BTreeMap<(usize, String), usize> {
            let key = |(n, call): (usize, &Call)| ((call.process, call.id.clone()), n);
            calls.iter().enumerate().map(key).collect()
        };
        let calls = index(&history.calls);
        for entry in entries {
            match calls.get(&(entry.process, entry.call.clone())) {
                Some(n) => history.calls[*n].hear(entry),
                None => history.hear(entry),
            }
        }
        history.stalls = history.calls.iter().filter_map(Call::stall).collect();
        history
    }

    fn hear(&mut self, entry: &Entry) {
        let Entry { at, process, call, what } = entry;
        let question =
            || self.questions.iter().position(|q| q.process == *process && q.id == *call);
        match what {
            What::Status => self.questions.push(Question {
                process: *process,
                id: call.clone(),
                began: *at,
                ended: None,
            }),
            What::Answered => {
                if let Some(n) = question() {
                    self.questions[n].ended = Some((*at, None));
                }
            }
            What::Ends(outcome) => match question() {
                Some(n) => self.questions[n].ended = Some((*at, Some(outcome.clone()))),
                None => self.failures.push((*at, format!("{process}:{call}"), outcome.clone())),
            },
            What::Gone => {
                self.gone.entry(*process).or_insert(*at);
            }
            What::Stuck => {
                self.stuck.insert(*process);
            }
            What::Exited => {
                self.gone.entry(*process).or_insert(*at);
                self.exited.insert(*process, *at);
            }
            What::Freezes => self.freezes.push((*process, (*at, u64::MAX))),
            What::Thaws => {
                let open = self.freezes.iter_mut().rev().find(|(frozen, _)| frozen == process);
                if let Some((_, span)) = open {
                    span.1 = *at;
                }
            }
            What::Closes => {
                self.closes.entry(call.clone()).or_insert((*at, u64::MAX));
            }
            What::Closed => {
                if let Some(span) = self.closes.get_mut(call) {
                    span.1 = *at;
                }
            }
            What::Cuts => self.cuts.push((*at, u64::MAX)),
            What::HasCut => {
                if let Some(cut) = self.cuts.last_mut() {
                    cut.1 = *at;
                }
            }
            _ => {}
        }
    }

    /// Whether a process has ended, by plan or by force, while things were under way in it.
    pub(crate) fn is_cut_short(&self, process: usize) -> bool {
        self.gone.contains_key(&process) && !self.stuck.contains(&process)
    }

    /// The call that another one is inside of.
    pub(crate) fn parent(&self, call: &Call) -> Option<&Call> {
        let parent = call.parent()?;
        self.calls.iter().find(|other| other.process == call.process && other.id == parent)
    }
}

impl Call {
    fn hear(&mut self, entry: &Entry) {
        let at = entry.at;
        match &entry.what {
            What::Holds(fence) => {
                self.granted.get_or_insert(at);
                self.fence = self.fence.or(*fence);
                let first = self.sure.map_or(at, |(first, _)| first);
                self.sure = Some((first, at));
            }
            What::Told => {
                self.granted.get_or_insert(at);
                self.told.get_or_insert(at);
            }
            What::Lets(how) => self.lets = Some((at, *how)),
            What::Free => self.freed = Some(at),
            What::Ends(outcome) => self.ended = Some((at, outcome.clone())),
            What::Callback => self.callbacks.push(at),
            _ => {}
        }
    }
}
