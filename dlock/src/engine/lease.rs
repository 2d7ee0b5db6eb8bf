//! Carries the table's decisions out on a lease table, over one connection.
//!
//! While a question is with the database, whatever else is wanted comes together and goes out as
//! the next one. What is held is renewed after each third of its ttl, all of it in one statement.
//! A lease whose validity has ended is lost, even if its row could still be renewed: its holder may
//! have stopped, and others may have looked.

mod batch_size;
mod expiry;
mod grant;
mod handoff;
mod handover;
mod job;
mod polling;
mod queue;
mod replies;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use self::batch_size::{Backoff, BatchSize};
use self::grant::{LeaseGrant, ResolvedOptions};
use self::job::{Job, Prune, Question, Session, carry_out};
use self::polling::{Asks, about};
use self::queue::Line;
use self::replies::FIRST_PAUSE;
use super::executor::{Adopted, Contact, Executor, GrantInfo, Reply, Report};
use super::grant::Grant;
use super::lock_table::{Event, GrantId, Ticket};
use super::map::Map;
use super::message::HandedOver;
use super::timer::Timer;
use super::unwind::catch_panic;
use crate::backend::LockView;
use crate::backend::lease::{Failure, Lease, LeaseBackend, LeaseOptions, Outcomes, Owner};
use crate::clock::{Time, Validity};
use crate::error::{Error, Result};
use crate::observe::Telemetry;
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::Finding;
use crate::status::lost::LostReason;

/// How long a busy database is let alone.
const BUSY: Duration = Duration::from_millis(3);
/// How long giving everything back may take at the end; what is left then runs out by itself.
const FAREWELL: Duration = Duration::from_secs(2);

/// See the [module](self).
pub(crate) struct Leases<B: LeaseBackend> {
    backend: Arc<B>,
    options: LeaseOptions,
    /// Of leases that do not say it themselves.
    ttl: Duration,
    line: Line<B::Connection>,
    telemetry: Arc<Telemetry>,
    asks: Asks,
    held: Map<NativeKey, LeaseGrant>,
    releases: Vec<Release>,
    /// Those that are with the database, in its order.
    releasing: Vec<Release>,
    questions: VecDeque<Question>,
    applies: BatchSize,
    renewals: BatchSize,
    /// How many have been refused alone since something was answered.
    failed_alone: u32,
    /// The last job was a question.
    asked: bool,
    renewing: bool,
    /// Something is to be handed over.
    handoff: bool,
    /// What was not fresh may be now.
    news: bool,
    renew_at: Option<Instant>,
    /// When the first validity may end.
    lapse_at: Option<Instant>,
    /// Nothing is asked before that.
    not_before: Instant,
    pause: Duration,
    trouble: Option<Error>,
    /// When the newest thing was sent that the database has answered.
    answered: Time,
    /// Somebody is to be refused as soon as there is an answer.
    in_doubt: bool,
    reports: Vec<Report>,
    timer: Timer,
}

/// A row to be given back.
struct Release {
    lease: Lease,
    what: What,
    /// When this has run out there is nothing left to give back.
    validity: Arc<Validity>,
    backoff: Backoff,
    settles: Option<Settling>,
}

/// Settles a hold when its row has been given back, or has run out without an answer.
struct Settling {
    hold: Arc<Grant>,
    validity: Arc<Validity>,
}

impl Settling {
    /// The database has confirmed it, or has found (`clean` is `false`) that the row was somebody else's:
    /// then nothing is kept for this holder, who must not believe so.
    fn confirm(self, clean: bool) {
        if clean {
            self.hold.mark_released();
        } else {
            self.hold.lose(LostReason::NotHeld);
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if self.validity.is_valid_at(Time::now()) {
            self.hold.mark_unconfirmed();
        } else {
            self.hold.lose(LostReason::Unconfirmed);
        }
    }
}

/// Why a row is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Somebody has asked for it.
    Asked(Ticket),
    /// It is perhaps ours, and nobody here wants it.
    Cleanup,
    /// It is taken again in the same breath.
    HandOver,
}

impl<B: LeaseBackend> Leases<B> {
    /// Connects; a busy database is waited for.
    pub(crate) async fn open(
        backend: Arc<B>,
        options: LeaseOptions,
        limit: Duration,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self> {
        let deadline = Instant::now() + limit;
        let session = loop {
            match job::open(&*backend, &telemetry).await {
                Ok(session) => break session,
                Err(Failure::Busy(_)) if Instant::now() < deadline => sleep(about(BUSY)).await,
                Err(failure) => return Err(failure.into_error()),
            }
        };
        let ttl = options.time_to_live().unwrap_or_else(|| backend.ttl(&session.connection));
        let intervals = options.intervals().unwrap_or_else(|| backend.poll());
        Ok(Leases {
            backend,
            options,
            ttl,
            line: Line::Idle(Some(session)),
            telemetry,
            asks: Asks::new(intervals),
            held: Map::default(),
            releases: Vec::new(),
            releasing: Vec::new(),
            questions: VecDeque::new(),
            applies: BatchSize::new(),
            renewals: BatchSize::new(),
            failed_alone: 0,
            asked: false,
            renewing: false,
            handoff: false,
            news: false,
            renew_at: None,
            lapse_at: None,
            not_before: Instant::now(),
            pause: FIRST_PAUSE,
            trouble: None,
            answered: Time::now(),
            in_doubt: false,
            reports: Vec::new(),
            timer: Timer::default(),
        })
    }

    fn agree(&self, options: &LockOptions) -> ResolvedOptions {
        ResolvedOptions::new(options, &self.options, self.ttl)
    }

    fn report(&mut self, event: Event<LockId>, reason: LostReason) {
        self.reports.push(Report { event, reason });
    }
}

impl<B: LeaseBackend> Executor for Leases<B> {
    const KEEPS_MIN_HOLD: bool = true;
    const HAS_TOKENS: bool = true;

    fn try_lock(&mut self, lock_id: LockId, ticket: Ticket, options: &LockOptions) {
        self.asks.once(lock_id.key, ticket, self.agree(options));
    }

    fn wait(
        &mut self,
        lock_id: LockId,
        ticket: Ticket,
        until: Option<Instant>,
        options: &LockOptions,
    ) {
        self.asks.until(lock_id.key, ticket, self.agree(options), until);
    }

    fn hand_over(&mut self, lock_id: &LockId, ticket: Ticket, options: &LockOptions) {
        let resolved = self.agree(options);
        if let Some(grant) = self.held.get_mut(&lock_id.key).filter(|grant| grant.ticket == ticket)
        {
            grant.hand_over(resolved);
            self.handoff |= grant.handoff.is_some();
            self.schedule(&lock_id.key);
        }
    }

    fn can_wait(&self, _: &LockOptions) -> bool {
        true
    }

    fn cancel(&mut self, lock_id: &LockId, ticket: Ticket) {
        if self.asks.cancel(&lock_id.key, ticket) {
            self.report(Event::Ended { key: lock_id.clone(), ticket }, LostReason::NotHeld);
        }
    }

    fn unlock(&mut self, lock_id: LockId, _: Ticket, ticket: Ticket) {
        self.release_unwanted(&lock_id.key, ticket);
    }

    fn keep(&mut self, lock_id: &LockId, min_hold: Duration) {
        if let Some(grant) = self.held.get_mut(&lock_id.key).filter(|grant| grant.handoff.is_none())
        {
            grant.resolved.min_hold = grant.resolved.min_hold.max(min_hold);
            // Its row is to last as long.
            grant.due = true;
            self.schedule(&lock_id.key);
        }
    }

    fn linger(&mut self, lock_id: &LockId, rest: Duration, hold: &Arc<Grant>) -> bool {
        self.keep_from_all(&lock_id.key, rest, hold)
    }

    fn discard_session(&mut self, LockId { key, .. }: &LockId, ticket: Ticket) {
        if self.held.get(key).is_some_and(|grant| grant.ticket == ticket)
            && let Some(grant) = self.held.remove(key)
        {
            grant.validity.end(LostReason::NotHeld);
            self.owe_all_of(&grant);
        }
    }

    fn held(&self, lock_id: &LockId, _: Ticket) -> Option<GrantInfo> {
        let grant = self.held.get(&lock_id.key)?;
        Some(GrantInfo {
            validity: grant.validity.clone(),
            fresh: grant.is_fresh(),
            fence: grant.lease.fence,
            since: grant.since,
            lapse: grant.lapse(),
        })
    }

    fn refresh(&mut self, lock_id: &LockId, _: Ticket) {
        if let Some(grant) = self.held.get_mut(&lock_id.key).filter(|grant| grant.handoff.is_none())
        {
            grant.due = true;
            if !self.renewing {
                self.schedule(&lock_id.key);
            }
        }
    }

    fn verify(&mut self, lock_id: &LockId, _: Ticket, reply: Reply<bool>) {
        match self.held.get(&lock_id.key) {
            Some(grant) => self.ask_to_check(grant.lease.clone(), reply),
            None => drop(reply.send(Ok(false))),
        }
    }

    fn status(&mut self, reply: Reply<Vec<LockView>>) {
        self.questions.push_back(Question::Status(None, reply));
    }

    /// There is one connection: one short question goes between two jobs, and only where it works.
    fn look_up(&mut self, keys: Vec<NativeKey>, reply: Reply<Vec<LockView>>) {
        if self.trouble.is_none() {
            // Of several, all that there are: it is one question.
            let of = <[NativeKey; 1]>::try_from(keys).ok().map(|[key]| key);
            self.questions.push_back(Question::Status(of, reply));
        }
    }

    fn break_lock(&mut self, key: NativeKey, reply: Reply<Vec<String>>) {
        self.questions.push_back(Question::Break(key, reply));
    }

    fn check(&mut self, reply: Reply<Vec<Finding>>) {
        self.questions.push_back(Question::Check(reply));
    }

    fn ping(&mut self, reply: Reply<()>) {
        self.questions.push_back(Question::Ping(reply));
    }

    fn make_token(
        &mut self,
        lock_id: &LockId,
        hold: GrantId,
        owner: Arc<str>,
        reply: Reply<HandedOver>,
    ) {
        self.ask_for_token(&lock_id.key, hold, owner, reply);
    }

    fn drop_token(&mut self, key: NativeKey, owner: Arc<str>) {
        let (owner, lasts) = (Owner::Token(owner), self.ttl);
        self.add_cleanup(Lease { key, owner, fence: None, lasts });
    }

    fn adopt(&mut self, ticket: Ticket, adopted: Adopted) {
        self.ask_to_adopt(ticket, adopted);
    }

    fn prune(&mut self, older_than: Duration, reply: Reply<u64>) {
        let (from, removed) = (String::new(), 0);
        self.questions.push_back(Question::Prune(Prune { older_than, from, removed, reply }));
    }

    fn contact(&mut self, lock_id: &LockId, since: Time) -> Contact {
        if self.asks.refused_after(&lock_id.key, since) {
            return Contact::Heard;
        }
        if self.trouble.is_some() && self.pause > FIRST_PAUSE {
            return Contact::Failed;
        }
        self.in_doubt = true;
        if self.asks.ask_now(&lock_id.key) {
            return Contact::Unknown;
        }
        // Nobody asks for it any more: that the database answers is all there is to know.
        if self.answered >= since {
            return Contact::Heard;
        }
        if self.questions.is_empty() && matches!(self.line, Line::Idle(_)) {
            let (reply, _) = oneshot::channel();
            self.questions.push_back(Question::Status(Some(lock_id.key.clone()), reply));
        }
        Contact::Unknown
    }

    fn label(&self) -> Box<str> {
        self.backend.label()
    }

    fn flush(&mut self) {
        self.send();
    }

    fn has_unanswered(&self) -> bool {
        let on_its_way = self.releases.len() + self.releasing.len();
        on_its_way > 0 || self.asks.any_is_given_up()
    }

    fn trouble(&self) -> Error {
        self.trouble.clone().unwrap_or_else(|| {
            let source = IoError::new(ErrorKind::TimedOut, "it has not answered yet");
            Error::unavailable(&self.backend.label(), source)
        })
    }

    async fn recv(&mut self, reports: &mut Vec<Report>) {
        while self.reports.is_empty() && !std::mem::take(&mut self.news) {
            self.send();
            let alarm = self.engine_deadline();
            tokio::select! {
                biased;
                validity = self.line.validity(&*self.backend, self.asks.are_polled()) => match validity {
                    Some(done) => self.finish(done),
                    None => self.asks.hurry(),
                },
                () = self.timer.until(alarm) => {}
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
            let mut releases = Vec::new();
            // What was granted just now, when nobody wanted it any more, is kept from nobody.
            let held = self.held.values().map(|grant| grant.releases(grant.used));
            for (lease, perhaps) in held {
                releases.push(lease);
                releases.extend(perhaps);
            }
            releases.extend(self.releases.drain(..).map(|release| release.lease));
            releases.sort_by(|a, b| a.key.cmp(&b.key));
            let Line::Idle(mut session) = self.line else {
                return;
            };
            while !releases.is_empty() {
                let job = Job::Apply { releases, takes: Vec::new(), outcomes: Outcomes::default() };
                let (backend, telemetry) = (self.backend.clone(), self.telemetry.clone());
                let done = carry_out(backend, telemetry, session, job, FAREWELL).await;
                session = done.session;
                releases = match (done.job, done.result) {
                    (Job::Apply { releases, .. }, Err(Failure::Busy(_))) => releases,
                    _ => break,
                };
                sleep(about(BUSY)).await;
            }
            if let Some(Session { connection, observed }) = session {
                self.backend.close(connection).await;
                drop(observed);
            }
        };
        // What a panic leaves undone runs out by itself.
        let _ = catch_panic(timeout(FAREWELL, farewell)).await;
    }
}
