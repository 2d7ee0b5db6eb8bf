//! A lease table in memory, and a database that fails as a test says.

use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::io::{Error as IoError, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::sleep;

use crate::backend::LockView;
use crate::backend::lease::prune::Pruned;
use crate::backend::lease::{Failure, Lease, LeaseBackend, LeaseOptions, Outcomes, Owner, Taken};
use crate::clock::Time;
use crate::engine::{Engine, Leases, opens};
use crate::error::Error;
use crate::locker::Locker;
use crate::locker::core::Inner;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;
use crate::status::Finding;

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    Busy,
    /// The database says no.
    Refused,
    /// The driver panics.
    Panics,
    /// The connection ends: before it was done, or (`true`) after.
    Ends(bool),
    /// There is never an answer; `true`: but it is done.
    Silent(bool),
}

/// A job as the database sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Open,
    Apply { releases: Vec<String>, takes: Vec<String> },
    Renew(Vec<String>),
    Check(String),
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) owner: String,
    pub(super) fence: u64,
    /// `None`: it never runs out.
    pub(super) until: Option<Time>,
}

impl Row {
    pub(super) fn is_free(&self) -> bool {
        self.until.is_some_and(|until| until <= Time::now())
    }
}

type Script = Box<dyn FnMut(&Asked) -> Fate + Send>;

/// What several processes share.
#[derive(Clone)]
pub(super) struct Fake(Arc<Mutex<Inside>>);

pub(super) struct Inside {
    pub(super) rows: BTreeMap<String, Row>,
    pub(super) asked: Vec<Asked>,
    /// Somebody else has locked these rows by hand.
    pub(super) busy: Vec<String>,
    pub(super) delay: Duration,
    script: Script,
}

impl Fake {
    pub(super) fn new() -> Self {
        Fake(Arc::new(Mutex::new(Inside {
            rows: BTreeMap::new(),
            asked: Vec::new(),
            busy: Vec::new(),
            delay: Duration::ZERO,
            script: Box::new(|_| Fate::Done),
        })))
    }

    pub(super) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    pub(super) fn script(&self, script: impl FnMut(&Asked) -> Fate + Send + 'static) {
        self.inside().script = Box::new(script);
    }

    /// Everything that was asked since the last look.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inside().asked)
    }

    pub(super) fn row(&self, name: &str) -> Row {
        self.inside().rows[name].clone()
    }

    /// A process of its own that keeps its leases here.
    pub(super) async fn locker(&self, options: LeaseOptions) -> Locker {
        let (backend, own) = (Arc::new(self.clone()), options.clone());
        let longest = Duration::from_secs(10);
        let open =
            opens(move || Leases::open(Arc::clone(&backend), own.clone(), longest, Arc::default()));
        let limit = (Duration::from_secs(10), "fake");
        let (engine, mut opened) =
            Engine::start(None, limit, Arc::default(), None, false, open).unwrap();
        opened.wait().await.unwrap();
        let about = crate::backend::BackendInfo {
            label: "fake".into(),
            naming: Naming::Row,
            modes: &[Mode::Exclusive],
            leases: Some(options),
            fences: true,
            explain: Box::new(|_| String::new()),
        };
        Locker::from_inner(Inner {
            engine,
            about,
            scheme: KeyScheme::Dlock,
            namespace: "".into(),
            wait: Wait::For(Duration::from_secs(20)),
            retry_every: None,
            url: None,
        })
    }

    /// The fate of a job; `Ok(false)`: it is to be done, but nobody will hear of it.
    async fn fate(&self, asked: Asked) -> Result<(Fate, bool), Failure> {
        let delay = self.inside().delay;
        sleep(delay).await;
        let fate = {
            let mut inside = self.inside();
            let names: Vec<&String> = match &asked {
                Asked::Apply { releases, takes } => releases.iter().chain(takes).collect(),
                Asked::Renew(names) => names.iter().collect(),
                Asked::Open | Asked::Check(_) => Vec::new(),
            };
            let busy = names.into_iter().any(|name| inside.busy.contains(name));
            let fate = if busy { Fate::Busy } else { (inside.script)(&asked) };
            inside.asked.push(asked);
            fate
        };
        match fate {
            Fate::Busy => Err(Failure::Busy(error("busy"))),
            Fate::Refused => {
                let source = Arc::from(Box::from("no such character"));
                Err(Failure::Failed(Error::backend("fake", source)))
            }
            Fate::Panics => panic!("an answer that nobody expects"),
            Fate::Ends(false) => Err(Failure::Failed(error("gone"))),
            Fate::Silent(false) => pending().await,
            Fate::Done => Ok((fate, true)),
            Fate::Ends(true) | Fate::Silent(true) => Ok((fate, false)),
        }
    }
}

async fn answer<T>((fate, heard): (Fate, bool), answer: T) -> Result<T, Failure> {
    match fate {
        _ if heard => Ok(answer),
        Fate::Silent(_) => pending().await,
        _ => Err(Failure::Failed(error("gone"))),
    }
}

fn error(why: &'static str) -> Error {
    let source = IoError::new(ErrorKind::ConnectionReset, why);
    Error::unavailable("fake", source)
}

fn names(leases: &[Lease]) -> Vec<String> {
    assert!(leases.is_sorted_by_key(|lease| lease.name().into_owned()), "{leases:?}");
    leases.iter().map(|lease| lease.name().into_owned()).collect()
}

fn until(lease: &Lease) -> Option<Time> {
    (lease.lasts != Duration::MAX).then(|| Time::now().after(lease.lasts))
}

fn no_earlier(row: &Row, lease: &Lease) -> Option<Time> {
    Some(row.until?.max(until(lease)?))
}

fn is_ours(row: &Row, lease: &Lease) -> bool {
    row.owner == lease.owner.as_str() && lease.fence.is_none_or(|fence| fence == row.fence)
}

impl LeaseBackend for Fake {
    type Connection = ();

    fn label(&self) -> Box<str> {
        "fake".into()
    }

    async fn open(&self) -> Result<(), Failure> {
        let fate = self.fate(Asked::Open).await?;
        answer(fate, ()).await
    }

    async fn apply(
        &self,
        (): &mut (),
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        let asked = Asked::Apply { releases: names(releases), takes: names(takes) };
        let fate = self.fate(asked).await?;
        let outcomes = {
            let rows = &mut self.inside().rows;
            let release = |lease: &Lease| match rows.get_mut(&*lease.name()) {
                Some(row) if is_ours(row, lease) => {
                    row.owner.clear();
                    row.until = until(lease);
                    true
                }
                _ => false,
            };
            let released = releases.iter().map(release).collect();
            let take = |lease: &Lease| {
                let row = rows.entry(lease.name().into_owned()).or_insert_with(|| Row {
                    owner: String::new(),
                    fence: 0,
                    until: Some(Time::now()),
                });
                if !row.is_free() && row.owner != lease.owner.as_str() {
                    let left = row.until.map(|until| until.since(Time::now()));
                    return Taken::Held(left);
                }
                row.owner = lease.owner.as_str().to_owned();
                row.fence += 1;
                row.until = no_earlier(row, lease);
                Taken::Granted(Some(row.fence))
            };
            Outcomes { released, taken: takes.iter().map(take).collect() }
        };
        answer(fate, outcomes).await
    }

    async fn renew(&self, (): &mut (), leases: &[Lease]) -> Result<Vec<bool>, Failure> {
        let fate = self.fate(Asked::Renew(names(leases))).await?;
        let renewed = {
            let rows = &mut self.inside().rows;
            let renew = |lease: &Lease| match rows.get_mut(&*lease.name()) {
                Some(row) if is_ours(row, lease) && !row.is_free() => {
                    row.until = no_earlier(row, lease);
                    true
                }
                _ => false,
            };
            leases.iter().map(renew).collect()
        };
        answer(fate, renewed).await
    }

    async fn check(&self, (): &mut (), lease: &Lease) -> Result<bool, Failure> {
        let fate = self.fate(Asked::Check(lease.name().into_owned())).await?;
        let held = {
            let inside = self.inside();
            let row = inside.rows.get(&*lease.name());
            row.is_some_and(|row| is_ours(row, lease) && !row.is_free())
        };
        answer(fate, held).await
    }

    async fn own(&self, (): &mut (), lease: &Lease, to: &Owner) -> Result<Taken, Failure> {
        let mut inside = self.inside();
        let row = inside.rows.get_mut(&*lease.name());
        let Some(row) = row.filter(|row| is_ours(row, lease) && !row.is_free()) else {
            return Ok(Taken::Held(None));
        };
        (row.owner, row.until) = (to.as_str().to_owned(), until(lease));
        Ok(Taken::Granted(Some(row.fence)))
    }

    async fn prune(&self, (): &mut (), _: Duration, _: &str) -> Result<Pruned, Failure> {
        Ok(Pruned::default())
    }

    async fn status(&self, (): &mut (), _: Option<&NativeKey>) -> Result<Vec<LockView>, Failure> {
        Ok(Vec::new())
    }

    async fn examine(&self, (): &mut ()) -> Result<Vec<Finding>, Failure> {
        Ok(Vec::new())
    }

    async fn close(&self, (): ()) {}
}

/// How often each name occurs.
pub(super) fn counts(names: impl IntoIterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts
}
