//! Carries the table's decisions out on a lease table, over one connection.
//!
//! While a question is with the database, whatever else is wanted comes together and goes out as
//! the next one. What is held is renewed after each third of its ttl, all of it in one statement.
//! A lease whose word has run out is lost, even if its row could still be renewed: its holder may
//! have stopped, and others may have looked.

mod asks;
mod job;

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::io::{Error as IoError, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::asks::{Asks, about};
use self::job::{Done, Job, carry_out};
use super::actor::{Executor, Held, Report};
use super::table::{Event, Ticket};
use crate::backend::lease::{Failure, Lease, LeaseBackend, LeaseOptions, Verdicts};
use crate::clock::{Time, Word};
use crate::error::{Error, Result};
use crate::lost::LostReason;
use crate::native::NativeKey;

/// How long a busy database is let alone.
const BUSY: Duration = Duration::from_millis(3);
/// The pauses between attempts to reach a database that cannot be reached.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long a busy database may keep a new locker from connecting.
const OPENING: Duration = Duration::from_secs(10);
/// How long giving everything back may take at the end; what is left then runs out by itself.
const FAREWELL: Duration = Duration::from_secs(2);

/// See the [module](self).
pub(crate) struct Leases<B: LeaseBackend> {
    backend: Arc<B>,
    ttl: Duration,
    line: Line<B::Connection>,
    asks: Asks,
    held: HashMap<NativeKey, Grant>,
    releases: Vec<Release>,
    /// Those that are with the database, in its order.
    releasing: Vec<Release>,
    checks: VecDeque<(Lease, oneshot::Sender<bool>)>,
    checking: Option<oneshot::Sender<bool>>,
    renewing: bool,
    renew_at: Option<Instant>,
    /// When the first word may run out.
    lapse_at: Option<Instant>,
    /// Nothing is asked before that.
    not_before: Instant,
    pause: Duration,
    trouble: Option<Error>,
    reports: Vec<Report>,
}

enum Line<C> {
    Idle(Option<C>),
    Busy(Pin<Box<dyn Future<Output = Done<C>> + Send>>),
}

struct Grant {
    ticket: Ticket,
    owner: Arc<str>,
    word: Arc<Word>,
    fence: u64,
    since: Time,
}

/// A row to be given back.
struct Release {
    lease: Lease,
    /// Who waits for it; `None` for a row that is perhaps not even ours.
    ticket: Option<Ticket>,
    /// It was good when the release was asked.
    in_time: bool,
    /// When this has run out there is nothing left to give back.
    word: Arc<Word>,
}

impl<B: LeaseBackend> Leases<B> {
    /// Connects; a busy database is waited for.
    pub(crate) async fn open(backend: B, options: LeaseOptions) -> Result<Self> {
        let deadline = Instant::now() + OPENING;
        let connection = loop {
            match job::open(&backend).await {
                Ok(connection) => break connection,
                Err(Failure::Busy(_)) if Instant::now() < deadline => sleep(about(BUSY)).await,
                Err(failure) => return Err(failure.into_error()),
            }
        };
        Ok(Leases {
            backend: Arc::new(backend),
            ttl: options.time_to_live(),
            line: Line::Idle(Some(connection)),
            asks: Asks::default(),
            held: HashMap::new(),
            releases: Vec::new(),
            releasing: Vec::new(),
            checks: VecDeque::new(),
            checking: None,
            renewing: false,
            renew_at: None,
            lapse_at: None,
            not_before: Instant::now(),
            pause: FIRST_PAUSE,
            trouble: None,
            reports: Vec::new(),
        })
    }

    fn report(&mut self, event: Event<NativeKey>, reason: LostReason) {
        self.reports.push(Report { event, reason });
    }

    /// When there is something to do that no answer brings.
    fn alarm(&self) -> Option<Instant> {
        let work = match self.line {
            Line::Busy(_) => None,
            Line::Idle(_) if !self.releases.is_empty() || !self.checks.is_empty() => {
                Some(self.not_before)
            }
            Line::Idle(_) => {
                let next = [self.renew_at, self.asks.next()]
                    .into_iter()
                    .flatten()
                    .min();
                next.map(|next| next.max(self.not_before))
            }
        };
        [work, self.lapse_at].into_iter().flatten().min()
    }

    /// Sends what is due, unless the line is busy.
    fn send(&mut self) {
        let now = Instant::now();
        let Line::Idle(connection) = &mut self.line else {
            return;
        };
        let connection = connection.take();
        let job = if now < self.not_before {
            None
        } else {
            self.next_job(now)
        };
        self.line = match job {
            Some(job) => Line::Busy(Box::pin(carry_out(
                self.backend.clone(),
                connection,
                job,
                self.ttl,
            ))),
            None => Line::Idle(connection),
        };
    }

    fn next_job(&mut self, now: Instant) -> Option<Job> {
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = None;
            let mut leases: Vec<_> = self
                .held
                .iter()
                .map(|(key, grant)| grant.lease(key))
                .collect();
            if !leases.is_empty() {
                self.renew_at = Some(now + self.ttl / 3);
                self.renewing = true;
                leases.sort_by(|a, b| a.key.cmp(&b.key));
                return Some(Job::Renew {
                    leases,
                    renewed: Vec::new(),
                });
            }
        }
        if let Some((lease, reply)) = self.checks.pop_front() {
            self.checking = Some(reply);
            return Some(Job::Check { lease, held: false });
        }
        let mut takes = self.asks.send(now);
        if takes.is_empty() && self.releases.is_empty() {
            return None;
        }
        self.releasing.append(&mut self.releases);
        self.releasing.sort_by(|a, b| a.lease.key.cmp(&b.lease.key));
        let releases = self
            .releasing
            .iter()
            .map(|release| release.lease.clone())
            .collect();
        takes.sort_by(|a, b| a.key.cmp(&b.key));
        Some(Job::Apply {
            releases,
            takes,
            verdicts: Verdicts::default(),
        })
    }

    /// Takes in what became of a job.
    fn finish(&mut self, done: Done<B::Connection>) {
        self.line = Line::Idle(done.connection);
        self.renewing = false;
        match done.result {
            Ok(()) => {
                self.trouble = None;
                self.pause = FIRST_PAUSE;
                self.answered(done.job, done.sent.unwrap_or_else(Time::now));
            }
            Err(Failure::Busy(error)) => {
                self.trouble = Some(error);
                self.not_before = Instant::now() + about(BUSY);
                self.unanswered(done.job, None);
            }
            Err(Failure::Failed(error)) => {
                self.not_before = Instant::now() + about(self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                let fatal = !error.is_retryable();
                self.trouble = Some(error);
                self.unanswered(
                    done.job,
                    Some(Failed {
                        fatal,
                        sent: done.sent.is_some(),
                    }),
                );
            }
        }
    }

    fn answered(&mut self, job: Job, sent: Time) {
        match job {
            Job::Apply {
                takes,
                verdicts: Verdicts { released, taken },
                ..
            } => {
                let releasing = std::mem::take(&mut self.releasing);
                for (index, release) in releasing.into_iter().enumerate() {
                    let clean = released.get(index).copied().unwrap_or(false);
                    self.released(release, clean);
                }
                for (index, lease) in takes.into_iter().enumerate() {
                    match taken.get(index).copied().flatten() {
                        Some(fence) => self.granted(lease, fence, sent),
                        None => self.refused(&lease),
                    }
                }
            }
            Job::Renew { leases, renewed } => {
                for (index, lease) in leases.into_iter().enumerate() {
                    self.renewed(&lease, renewed.get(index).copied().unwrap_or(false), sent);
                }
            }
            Job::Check { lease, held } => {
                if let Some(reply) = self.checking.take() {
                    let _ = reply.send(held);
                }
                if !held {
                    self.lose(&lease, LostReason::NotHeld);
                }
            }
        }
    }

    /// There is no answer: `failed` if it is not even known whether anything was done.
    fn unanswered(&mut self, job: Job, failed: Option<Failed>) {
        match job {
            Job::Apply { takes, .. } => {
                self.releases.append(&mut self.releasing);
                for lease in takes {
                    self.untaken(lease, failed);
                }
            }
            Job::Renew { .. } => self.renew_at = Some(Instant::now()),
            Job::Check { lease, .. } => {
                if let Some(reply) = self.checking.take() {
                    self.ask_to_check(lease, reply);
                }
            }
        }
    }

    fn granted(&mut self, lease: Lease, fence: u64, sent: Time) {
        let word = Arc::new(Word::until(sent.after(self.ttl)));
        let Some(ask) = self.asks.remove(&lease) else {
            return self.owe(lease);
        };
        let ticket = ask.ticket;
        let key = lease.key.clone();
        let now = Time::now();
        if !word.good_at(now) {
            self.report(
                Event::Failed {
                    key,
                    ticket,
                    fatal: false,
                },
                LostReason::Unconfirmed,
            );
            return self.owe(lease);
        }
        self.lapses_in(word.left(now));
        self.renew_at
            .get_or_insert_with(|| Instant::now() + self.ttl / 3);
        let grant = Grant {
            ticket,
            owner: lease.owner,
            word,
            fence,
            since: now,
        };
        self.held.insert(lease.key, grant);
        self.report(Event::Granted { key, ticket }, LostReason::NotHeld);
    }

    fn refused(&mut self, lease: &Lease) {
        let ask = self.asks.remove(lease);
        let Some(ask) = ask.and_then(|ask| self.asks.refused(ask)) else {
            return;
        };
        let (key, ticket) = (ask.lease.key, ask.ticket);
        let event = match ask.cancelled {
            true => Event::Ended { key, ticket },
            false => Event::Refused { key, ticket },
        };
        self.report(event, LostReason::NotHeld);
    }

    fn untaken(&mut self, lease: Lease, failed: Option<Failed>) {
        if failed.is_some_and(|failed| failed.sent) {
            self.owe(lease.clone());
        }
        let Some(ask) = self.asks.remove(&lease) else {
            return;
        };
        let (key, ticket) = (lease.key, ask.ticket);
        let event = match failed {
            _ if ask.cancelled => Event::Ended { key, ticket },
            None => return self.asks.put_back(ask),
            Some(Failed { fatal, .. }) => Event::Failed { key, ticket, fatal },
        };
        self.report(event, LostReason::NotHeld);
    }

    fn released(&mut self, release: Release, clean: bool) {
        let Some(ticket) = release.ticket else { return };
        let key = release.lease.key;
        self.asks.released(&key);
        self.report(Event::Unlocked { key, ticket, clean }, LostReason::NotHeld);
    }

    fn renewed(&mut self, lease: &Lease, renewed: bool, sent: Time) {
        let Some(grant) = self.held.get(&lease.key) else {
            return;
        };
        if grant.owner != lease.owner {
            return;
        }
        if !renewed {
            self.lose(lease, LostReason::NotHeld);
        } else if grant.word.good_at(Time::now()) {
            grant.word.extend(sent.after(self.ttl));
        } else {
            self.lose(lease, LostReason::Unconfirmed);
        }
    }

    fn lose(&mut self, lease: &Lease, reason: LostReason) {
        let Some(grant) = self.held.get(&lease.key) else {
            return;
        };
        if grant.owner == lease.owner {
            self.held.remove(&lease.key);
            self.owe(lease.clone());
            self.report(
                Event::Lost {
                    key: lease.key.clone(),
                },
                reason,
            );
        }
    }

    /// This row may be ours, and nobody here wants it.
    fn owe(&mut self, lease: Lease) {
        // By then a statement that is still on its way has run out as well.
        let word = Arc::new(Word::until(Time::now().after(self.ttl * 2)));
        self.lapses_in(self.ttl * 2);
        self.releases.push(Release {
            lease,
            ticket: None,
            in_time: false,
            word,
        });
    }

    fn ask_to_check(&mut self, lease: Lease, reply: oneshot::Sender<bool>) {
        let held = self
            .held
            .get(&lease.key)
            .is_some_and(|grant| grant.owner == lease.owner);
        if held && !reply.is_closed() {
            self.checks.push_back((lease, reply));
        } else {
            let _ = reply.send(held);
        }
    }

    fn lapses_in(&mut self, time: Duration) {
        let at = Instant::now() + time;
        self.lapse_at = Some(self.lapse_at.map_or(at, |lapse| lapse.min(at)));
    }

    /// Ends what the database has not confirmed in time.
    fn lapse(&mut self) {
        if self.lapse_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        self.lapse_at = None;
        let now = Time::now();
        let over = self
            .held
            .iter()
            .filter(|(_, grant)| !grant.word.good_at(now));
        let over: Vec<_> = over.map(|(key, grant)| grant.lease(key)).collect();
        for lease in over {
            self.lose(&lease, LostReason::Unconfirmed);
        }
        for release in std::mem::take(&mut self.releases) {
            if release.word.good_at(now) {
                self.releases.push(release);
            } else if let Some(ticket) = release.ticket {
                // The row has run out, so the lock is free: it was held until then.
                let (key, clean) = (release.lease.key.clone(), release.in_time);
                self.report(
                    Event::Unlocked { key, ticket, clean },
                    LostReason::Unconfirmed,
                );
                self.owe(release.lease);
            }
        }
        let words = self.held.values().map(|grant| &grant.word);
        let words = words.chain(self.releases.iter().map(|release| &release.word));
        if let Some(left) = words.map(|word| word.left(now)).min() {
            self.lapses_in(left);
        }
    }
}

/// A question that the database may or may not have looked at.
#[derive(Clone, Copy)]
struct Failed {
    /// It makes no sense to ask again.
    fatal: bool,
    /// It may have.
    sent: bool,
}

impl Grant {
    fn lease(&self, key: &NativeKey) -> Lease {
        Lease {
            key: key.clone(),
            owner: self.owner.clone(),
        }
    }
}

impl<C> Line<C> {
    /// Ends with the job that is on its way. Cancel-safe: the job stays where it is.
    async fn done(&mut self) -> Done<C> {
        match self {
            Line::Busy(job) => {
                let done = job.await;
                *self = Line::Idle(None);
                done
            }
            Line::Idle(_) => pending().await,
        }
    }
}

impl<B: LeaseBackend> Executor for Leases<B> {
    fn try_lock(&mut self, key: NativeKey, ticket: Ticket) {
        self.asks.once(key, ticket);
    }

    fn wait(&mut self, key: NativeKey, ticket: Ticket, until: Option<Instant>) {
        self.asks.until(key, ticket, until);
    }

    fn cancel(&mut self, key: &NativeKey, ticket: Ticket) {
        if self.asks.cancel(key, ticket) {
            self.report(
                Event::Ended {
                    key: key.clone(),
                    ticket,
                },
                LostReason::NotHeld,
            );
        }
    }

    fn unlock(&mut self, key: NativeKey, ticket: Ticket) {
        let Some(Grant { owner, word, .. }) = self.held.remove(&key) else {
            // Lost, and the table does not know it yet.
            let event = Event::Unlocked {
                key,
                ticket,
                clean: false,
            };
            return self.report(event, LostReason::NotHeld);
        };
        let in_time = word.good_at(Time::now());
        let lease = Lease { key, owner };
        self.releases.push(Release {
            lease,
            ticket: Some(ticket),
            in_time,
            word,
        });
    }

    fn distrust(&mut self, key: &NativeKey, ticket: Ticket) {
        if self
            .held
            .get(key)
            .is_some_and(|grant| grant.ticket == ticket)
            && let Some(grant) = self.held.remove(key)
        {
            self.owe(grant.lease(key));
        }
    }

    fn held(&self, key: &NativeKey) -> Option<Held> {
        let grant = self.held.get(key)?;
        Some(Held {
            word: grant.word.clone(),
            fresh: grant.word.left(Time::now()) >= self.ttl / 2,
            fence: Some(grant.fence),
            since: grant.since,
        })
    }

    fn refresh(&mut self, key: &NativeKey) {
        if self.held.contains_key(key) && !self.renewing {
            self.renew_at = Some(Instant::now());
        }
    }

    fn verify(&mut self, key: &NativeKey, reply: oneshot::Sender<bool>) {
        match self.held.get(key) {
            Some(grant) => self.ask_to_check(grant.lease(key), reply),
            None => drop(reply.send(false)),
        }
    }

    fn flush(&mut self) {
        self.send();
    }

    fn trouble(&self) -> Error {
        self.trouble.clone().unwrap_or_else(|| {
            let source = IoError::new(ErrorKind::TimedOut, "it has not answered yet");
            Error::Unavailable {
                backend: self.backend.label(),
                source: Arc::new(source),
            }
        })
    }

    async fn recv(&mut self, reports: &mut Vec<Report>) {
        while self.reports.is_empty() {
            self.send();
            let alarm = self.alarm();
            tokio::select! {
                biased;
                done = self.line.done() => self.finish(done),
                () = until(alarm) => {}
            }
            self.lapse();
        }
        // What they lead to goes out together with what has gathered, at the next flush.
        reports.append(&mut self.reports);
    }

    async fn shutdown(mut self) {
        let farewell = async {
            if let Line::Busy(_) = self.line {
                let done = self.line.done().await;
                self.finish(done);
            }
            let held = self.held.iter().map(|(key, grant)| grant.lease(key));
            let mut releases: Vec<_> = held.collect();
            releases.extend(self.releases.drain(..).map(|release| release.lease));
            releases.sort_by(|a, b| a.key.cmp(&b.key));
            let Line::Idle(mut connection) = self.line else {
                return;
            };
            while !releases.is_empty() {
                let job = Job::Apply {
                    releases,
                    takes: Vec::new(),
                    verdicts: Verdicts::default(),
                };
                let done = carry_out(self.backend.clone(), connection, job, self.ttl).await;
                connection = done.connection;
                releases = match (done.job, done.result) {
                    (Job::Apply { releases, .. }, Err(Failure::Busy(_))) => releases,
                    _ => break,
                };
                sleep(about(BUSY)).await;
            }
            if let Some(connection) = connection {
                self.backend.close(connection).await;
                tracing::debug!(target: "dlock", backend = %self.backend.label(), "session closed");
            }
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
