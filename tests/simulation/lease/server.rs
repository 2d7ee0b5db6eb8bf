//! A lease table as a server keeps it, and a network that does not always bring it the statements.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dlock::NativeKey;
use dlock::engine::lease::core::{Job, Lease, Outcomes, Owner, Question, Taken};

/// What goes over the network.
#[derive(Debug, Clone)]
pub(crate) enum Statement {
    Apply { releases: Vec<Lease>, takes: Vec<Lease> },
    Renew(Vec<Lease>),
    Held(Lease),
    Own(Lease, Owner),
    Other,
}

impl Statement {
    pub(crate) fn of(job: &Job) -> Self {
        match job {
            Job::Apply { releases, takes, .. } => {
                Statement::Apply { releases: releases.clone(), takes: takes.clone() }
            }
            Job::Renew { leases, .. } => Statement::Renew(leases.clone()),
            Job::Ask { question: Question::Held(lease), .. } => Statement::Held(lease.clone()),
            Job::Ask { question: Question::Own(own), .. } => {
                Statement::Own(own.lease.clone(), own.to.clone())
            }
            Job::Ask { question: Question::Other, .. } => Statement::Other,
        }
    }

    /// Which rows it is about.
    fn keys(&self) -> impl Iterator<Item = u8> {
        self.leases().into_iter().map(|lease| number(&lease.key))
    }

    /// Whose they are, or may be by it.
    pub(crate) fn owners(&self) -> impl Iterator<Item = String> {
        let next = match self {
            Statement::Own(_, to) => Some(to),
            _ => None,
        };
        let owners = self.leases().into_iter().map(|lease| &lease.owner).chain(next);
        owners.map(|owner| owner.as_str().to_owned())
    }

    fn leases(&self) -> Vec<&Lease> {
        match self {
            Statement::Apply { releases, takes } => releases.iter().chain(takes).collect(),
            Statement::Renew(leases) => leases.iter().collect(),
            Statement::Held(_) | Statement::Other => Vec::new(),
            Statement::Own(lease, _) => vec![lease],
        }
    }
}

/// What comes back.
#[derive(Debug, Clone)]
pub(crate) enum Response {
    Apply {
        released: Vec<bool>,
        taken: Vec<Taken>,
    },
    Renew(Vec<bool>),
    Held(bool),
    Own(Taken),
    Other,
    /// Something was busy, and nothing has been done.
    Busy,
    /// The database says no, and nothing has been done.
    Refused,
    /// The connection ends.
    Gone,
}

impl Response {
    pub(crate) fn outcomes(released: Vec<bool>, taken: Vec<Taken>) -> Outcomes {
        let mut outcomes = Outcomes::default();
        (outcomes.released, outcomes.taken) = (released, taken);
        outcomes
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Empty: nobody has it, but nobody else can have it before it has run out.
    pub(crate) owner: Arc<str>,
    pub(crate) fence: u64,
    /// On the server's clock; `None`: it never runs out.
    pub(crate) until: Option<Duration>,
}

/// The table, and what is wrong with its server.
pub(crate) struct Server {
    rows: BTreeMap<u8, Row>,
    /// Grants up to this fence may have ended earlier than their holders think.
    tampered: [u64; KEYS],
    /// What its clock shows more than that of the world.
    clock: Duration,
    pub(crate) busy_until: Duration,
    pub(crate) refuses_until: Duration,
    pub(crate) away_until: Duration,
    pub(crate) slow_until: Duration,
    pub(crate) odd_until: Duration,
    pub(crate) locked_until: [Duration; KEYS],
}

const KEYS: usize = super::plan::KEYS as usize;

pub(crate) fn number(key: &NativeKey) -> u8 {
    match key {
        NativeKey::Id(id) => *id as u8,
        other => panic!("nobody has asked for {other}"),
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Server {
            rows: BTreeMap::new(),
            tampered: [0; KEYS],
            // It can be set back.
            clock: Duration::from_secs(1_000_000),
            busy_until: Duration::ZERO,
            refuses_until: Duration::ZERO,
            away_until: Duration::ZERO,
            slow_until: Duration::ZERO,
            odd_until: Duration::ZERO,
            locked_until: [Duration::ZERO; KEYS],
        }
    }

    /// All is well from now on.
    pub(crate) fn recover(&mut self) {
        let (rows, tampered, clock) = (std::mem::take(&mut self.rows), self.tampered, self.clock);
        *self = Server { rows, tampered, clock, ..Server::new() };
    }

    /// What its clock shows.
    pub(crate) fn clock(&self, now: Duration) -> Duration {
        now + self.clock
    }

    /// Sets its clock: unless holders see that clock, what is held now may end earlier than they
    /// think. And if they do, what had run out seems to be held again to whoever has not looked
    /// meanwhile.
    pub(crate) fn jump(&mut self, forward: bool, time: Duration, seen: bool, now: Duration) {
        if !forward {
            let clock = self.clock(now);
            for (key, row) in self.rows.iter().filter(|_| seen) {
                let is_over = row.until.is_some_and(|end| end <= clock);
                let over = if is_over { row.fence } else { row.fence.saturating_sub(1) };
                let tampered = &mut self.tampered[usize::from(*key)];
                *tampered = over.max(*tampered);
            }
            self.clock -= time;
            return;
        }
        self.clock += time;
        if !seen {
            self.rows.iter().for_each(|(key, row)| self.tampered[usize::from(*key)] = row.fence);
        }
    }

    /// Somebody takes the lock from its holder.
    pub(crate) fn break_lock(&mut self, key: u8, now: Duration) {
        let now = self.clock(now);
        if let Some(row) = self.rows.get_mut(&key) {
            row.until = Some(now);
            self.tampered[usize::from(key)] = row.fence;
        }
    }

    /// Whether that grant of this key may have ended earlier than its holder thinks.
    pub(crate) fn has_tampered(&self, key: u8, fence: u64) -> bool {
        fence <= self.tampered[usize::from(key)]
    }

    pub(crate) fn row(&self, key: u8) -> Option<&Row> {
        self.rows.get(&key)
    }

    pub(crate) fn is_free(&self, key: u8, now: Duration) -> bool {
        let now = self.clock(now);
        self.rows.get(&key).is_none_or(|row| row.until.is_some_and(|until| until <= now))
    }

    /// Does it, all or nothing.
    pub(crate) fn execute(&mut self, statement: &Statement, now: Duration) -> Response {
        if now < self.away_until {
            return Response::Gone;
        }
        if now < self.refuses_until {
            return Response::Refused;
        }
        let is_locked = |key: u8| now < self.locked_until[usize::from(key)];
        if now < self.busy_until || statement.keys().any(is_locked) {
            return Response::Busy;
        }
        let clock = self.clock(now);
        let rows = &mut self.rows;
        match statement {
            Statement::Apply { releases, takes } => {
                let released = releases.iter().map(|lease| release(rows, lease, clock)).collect();
                let taken = takes.iter().map(|lease| take(rows, lease, clock)).collect();
                Response::Apply { released, taken }
            }
            Statement::Renew(leases) => {
                let renew = |lease: &Lease| {
                    let row = own(rows, lease, clock)?;
                    row.until = no_earlier(row, lease, clock);
                    Some(())
                };
                let mut renew = renew;
                Response::Renew(leases.iter().map(|lease| renew(lease).is_some()).collect())
            }
            Statement::Held(lease) => Response::Held(own(rows, lease, clock).is_some()),
            Statement::Own(lease, to) => Response::Own(match own(rows, lease, clock) {
                Some(row) => {
                    (row.owner, row.until) = (to.as_str().into(), until(lease, clock));
                    Taken::Granted(Some(row.fence))
                }
                None => Taken::Held(None),
            }),
            Statement::Other => Response::Other,
        }
    }
}

fn until(lease: &Lease, clock: Duration) -> Option<Duration> {
    (lease.lasts != Duration::MAX).then(|| clock + lease.lasts)
}

/// A statement may be done late: it never shortens the row of its own owner.
fn no_earlier(row: &Row, lease: &Lease, clock: Duration) -> Option<Duration> {
    Some(row.until?.max(until(lease, clock)?))
}

fn is_ours(row: &Row, lease: &Lease) -> bool {
    *row.owner == *lease.owner.as_str() && lease.fence.is_none_or(|fence| fence == row.fence)
}

/// The row of this lease, if it has not run out.
fn own<'a>(rows: &'a mut BTreeMap<u8, Row>, lease: &Lease, clock: Duration) -> Option<&'a mut Row> {
    let row = rows.get_mut(&number(&lease.key))?;
    (is_ours(row, lease) && row.until.is_none_or(|until| until > clock)).then_some(row)
}

fn release(rows: &mut BTreeMap<u8, Row>, lease: &Lease, clock: Duration) -> bool {
    let row = rows.get_mut(&number(&lease.key)).filter(|row| is_ours(row, lease));
    let Some(row) = row else { return false };
    (row.owner, row.until) = ("".into(), until(lease, clock));
    true
}

fn take(rows: &mut BTreeMap<u8, Row>, lease: &Lease, clock: Duration) -> Taken {
    let row = rows.entry(number(&lease.key)).or_insert_with(|| Row {
        owner: "".into(),
        fence: 0,
        until: Some(Duration::ZERO),
    });
    let is_free = row.until.is_some_and(|until| until <= clock);
    if !is_free && *row.owner != *lease.owner.as_str() {
        return Taken::Held(row.until.map(|until| until - clock));
    }
    row.owner = lease.owner.as_str().into();
    row.fence += 1;
    row.until = no_earlier(row, lease, clock);
    Taken::Granted(Some(row.fence))
}
