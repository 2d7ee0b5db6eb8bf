//! Carries the table's decisions out on a lease table, over one connection.
//!
//! What is asked when, and what an answer means, is decided in [`core`], which knows no clock, no
//! channel and no database. Here are the connection, the timer, and the way back to whoever asked.

mod clock;
#[doc(hidden)]
pub mod core;
mod job;
mod line;
mod pending;
mod settling;
#[cfg(test)]
mod tests;

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use self::clock::TurnClock;
use self::core::{BUSY, Job, LeaseAction, LeaseCore, Now, Offer, Settings};
use self::job::{Session, WorkDone, carry_out};
use self::line::Line;
use self::pending::{AllPending, Pending, Prune};
use self::settling::AllSettling;
use super::executor::{Adopted, Contact, Executor, HandedOver, Reply, Report};
use super::grant::{Grant, GrantInfo};
use super::lock_table::{GrantId, Ticket};
use super::timer::Timer;
use super::unwind::catch_panic;
use crate::backend::LockView;
use crate::backend::lease::{Failure, LeaseBackend, LeaseOptions, Outcomes, Owner};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::observe::{Event, Telemetry};
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::Finding;

/// How long giving everything back may take at the end; what is left then runs out by itself.
const FAREWELL: Duration = Duration::from_secs(2);

/// See the [module](self).
pub(crate) struct Leases<B: LeaseBackend> {
    backend: Arc<B>,
    core: LeaseCore,
    line: Line<B::Connection>,
    telemetry: Arc<Telemetry>,
    pending: AllPending,
    settling: AllSettling,
    /// What the core has decided, and is not yet carried out.
    actions: Vec<LeaseAction>,
    reports: Vec<Report>,
    /// What is held is to be looked at again.
    look: bool,
    clock: TurnClock,
    timer: Timer,
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
                Err(Failure::Busy(_)) if Instant::now() < deadline => sleep(a_moment()).await,
                Err(failure) => return Err(failure.into_error()),
            }
        };
        let clock = TurnClock::new(backend.has_our_clock());
        let settings = Settings {
            ttl: options.time_to_live().unwrap_or_else(|| backend.ttl(&session.connection)),
            intervals: options.intervals().unwrap_or_else(|| backend.poll()),
            options,
            busy_rows: backend.has_busy_rows(),
            owners: Box::new(Owner::new),
            seed: fastrand::u64(..),
        };
        let mut core = LeaseCore::new(settings, clock.now());
        core.limit(backend.most());
        Ok(Leases {
            backend,
            core,
            line: Line::Idle(Some(session)),
            telemetry,
            pending: AllPending::default(),
            settling: AllSettling::default(),
            actions: Vec::new(),
            reports: Vec::new(),
            look: false,
            clock,
            timer: Timer::default(),
        })
    }

    /// Lets the core decide, and carries that out.
    fn step<T>(
        &mut self,
        decide: impl FnOnce(&mut LeaseCore, Now, &mut Vec<LeaseAction>) -> T,
    ) -> T {
        let now = self.clock.now();
        let decided = decide(&mut self.core, now, &mut self.actions);
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.do_it(action, now);
        }
        self.actions = actions;
        decided
    }

    fn do_it(&mut self, action: LeaseAction, now: Now) {
        match action {
            LeaseAction::Send { job, patience } => {
                let session = match &mut self.line {
                    Line::Idle(session) => session.take(),
                    Line::Busy(_) => None,
                };
                let pending = match &job {
                    Job::Ask { id, .. } => self.pending.take(*id),
                    Job::Apply { .. } | Job::Renew { .. } => None,
                };
                let (backend, telemetry) = (Arc::clone(&self.backend), Arc::clone(&self.telemetry));
                let job = carry_out(backend, telemetry, session, (job, pending), patience);
                self.line = Line::Busy(Box::pin(job));
            }
            LeaseAction::Report(report) => self.reports.push(report),
            LeaseAction::Look => self.look = true,
            LeaseAction::Settle { hold, settled } => self.settling.settle(hold, settled),
            LeaseAction::Answer { id, answer } => {
                if let Some(lease) = self.pending.answer(id, answer) {
                    self.core.drop_handed_over(lease, now);
                }
            }
            LeaseAction::Probe { key } => {
                let (reply, _) = oneshot::channel();
                self.ask(Pending::Status(Some(key), reply));
            }
        }
    }

    fn ask(&mut self, question: Pending) {
        self.core.ask(self.pending.add(question));
    }

    /// Takes in what became of a job.
    fn finish(&mut self, WorkDone { done, pending, session }: WorkDone<B::Connection>) {
        self.line = Line::Idle(session);
        if let Some(pending) = pending
            && let Job::Ask { id, .. } = done.job
        {
            self.pending.put_back(id, pending);
        }
        if let (Job::Renew { .. }, Ok(()), Some(sent)) = (&done.job, &done.result, done.sent) {
            let took = self.clock.now().time.since(sent.at);
            self.telemetry.emit(&Event::Renewed { took });
        }
        // What it is may be known only since there was a connection.
        self.core.limit(self.backend.most());
        self.step(|core, now, out| core.finish(done, now, out));
    }
}

impl<B: LeaseBackend> Executor for Leases<B> {
    const KEEPS_MIN_HOLD: bool = true;
    const HAS_TOKENS: bool = true;

    fn try_lock(&mut self, lock_id: LockId, ticket: Ticket, options: &LockOptions) {
        self.core.try_lock(lock_id.key, ticket, options, self.clock.now());
    }

    fn wait(
        &mut self,
        lock_id: LockId,
        ticket: Ticket,
        until: Option<Instant>,
        options: &LockOptions,
    ) {
        let until = until.map(Instant::into_std);
        self.core.wait(lock_id.key, ticket, until, options, self.clock.now());
    }

    fn hand_over(&mut self, lock_id: &LockId, ticket: Ticket, options: &LockOptions) {
        self.core.hand_over(&lock_id.key, ticket, options, self.clock.now());
    }

    fn can_wait(&self, _: &LockOptions) -> bool {
        true
    }

    fn cancel(&mut self, lock_id: &LockId, ticket: Ticket) {
        self.step(|core, _, out| core.cancel(&lock_id.key, ticket, out));
    }

    fn unlock(&mut self, lock_id: LockId, _: Ticket, ticket: Ticket) {
        self.step(|core, now, out| core.unlock(&lock_id.key, ticket, now, out));
    }

    fn keep(&mut self, lock_id: &LockId, min_hold: Duration) {
        self.core.keep(&lock_id.key, min_hold, self.clock.now());
    }

    fn linger(&mut self, lock_id: &LockId, rest: Duration, hold: &Arc<Grant>) -> bool {
        let validity = self.core.linger(&lock_id.key, rest, (hold.id, hold.min_hold()));
        let lingers = validity.is_some();
        validity.into_iter().for_each(|validity| self.settling.add(hold, validity));
        lingers
    }

    fn discard_session(&mut self, LockId { key, .. }: &LockId, ticket: Ticket) {
        self.core.discard(key, ticket, self.clock.now());
    }

    fn held(&self, lock_id: &LockId, _: Ticket) -> Option<GrantInfo> {
        self.core.held(&lock_id.key, self.clock.now())
    }

    fn refresh(&mut self, lock_id: &LockId, _: Ticket) {
        self.core.refresh(&lock_id.key, self.clock.now());
    }

    fn verify(&mut self, lock_id: &LockId, _: Ticket, reply: Reply<bool>) {
        let id = self.pending.add(Pending::Held(reply));
        self.step(|core, _, out| core.verify(id, &lock_id.key, out));
    }

    fn status(&mut self, reply: Reply<Vec<LockView>>) {
        self.ask(Pending::Status(None, reply));
    }

    /// There is one connection: one short question goes between two jobs, and only where it works.
    fn look_up(&mut self, keys: Vec<NativeKey>, reply: Reply<Vec<LockView>>) {
        if self.core.trouble().is_none() {
            // Of several, all that there are: it is one question.
            let of = <[NativeKey; 1]>::try_from(keys).ok().map(|[key]| key);
            self.ask(Pending::Status(of, reply));
        }
    }

    fn break_lock(&mut self, key: NativeKey, reply: Reply<Vec<String>>) {
        self.ask(Pending::Break(key, reply));
    }

    fn check(&mut self, reply: Reply<Vec<Finding>>) {
        self.ask(Pending::Check(reply));
    }

    fn ping(&mut self, reply: Reply<()>) {
        self.ask(Pending::Ping(reply));
    }

    fn make_token(
        &mut self,
        lock_id: &LockId,
        hold: GrantId,
        owner: Arc<str>,
        reply: Reply<HandedOver>,
    ) {
        let id = self.pending.add(Pending::Token(reply));
        self.step(|core, now, out| core.make_token(id, &lock_id.key, (hold, owner), now, out));
    }

    fn drop_token(&mut self, key: NativeKey, owner: Arc<str>) {
        self.core.drop_token(key, owner, self.clock.now());
    }

    fn adopt(&mut self, ticket: Ticket, adopted: Adopted) {
        let Adopted { lock_id, owner, fence, options, request, refused } = adopted;
        let id = self.pending.add(Pending::Adopt(refused));
        let offer = Offer { key: lock_id.key, owner, fence };
        self.core.adopt(id, offer, (ticket, request), &options);
    }

    fn prune(&mut self, older_than: Duration, reply: Reply<u64>) {
        let (from, removed) = (String::new(), 0);
        self.ask(Pending::Prune(Prune { older_than, from, removed, reply }));
    }

    fn contact(&mut self, lock_id: &LockId, since: Time) -> Contact {
        self.step(|core, now, out| core.contact(&lock_id.key, since, now, out))
    }

    fn label(&self) -> Box<str> {
        self.backend.label()
    }

    fn flush(&mut self) {
        self.step(LeaseCore::send);
    }

    fn has_unanswered(&self) -> bool {
        self.core.has_unanswered()
    }

    fn trouble(&self) -> Error {
        self.core.trouble().cloned().unwrap_or_else(|| {
            let source = IoError::new(ErrorKind::TimedOut, "it has not answered yet");
            Error::unavailable(&self.backend.label(), source)
        })
    }

    async fn recv(&mut self, reports: &mut Vec<Report>) {
        self.clock.go_on();
        while self.reports.is_empty() && !std::mem::take(&mut self.look) {
            self.step(LeaseCore::send);
            let deadline = self.core.deadline(self.clock.now()).map(Instant::from_std);
            // Whatever ends this, or comes in between, comes later than now.
            self.clock.go_on();
            tokio::select! {
                biased;
                news = self.line.news(&*self.backend, self.core.is_polling()) => match news {
                    Some(done) => self.finish(done),
                    None => self.core.changed(self.clock.now()),
                },
                () = self.timer.until(deadline) => {}
            }
            self.step(LeaseCore::lapse);
        }
        // What they lead to goes out together with what has gathered, at the next flush.
        reports.append(&mut self.reports);
    }

    async fn shutdown(mut self) {
        let farewell = async {
            if let Line::Busy(_) = self.line {
                self.clock.go_on();
                let done = self.line.done().await;
                self.finish(done);
            }
            let mut releases = self.core.farewell(self.clock.now());
            let Line::Idle(mut session) = self.line else {
                return;
            };
            while !releases.is_empty() {
                let outcomes = Outcomes::default();
                let job = Job::Apply { releases, takes: Vec::new(), outcomes };
                let (backend, telemetry) = (self.backend.clone(), self.telemetry.clone());
                let over = carry_out(backend, telemetry, session, (job, None), FAREWELL).await;
                session = over.session;
                releases = match (over.done.job, over.done.result) {
                    (Job::Apply { releases, .. }, Err(Failure::Busy(_))) => releases,
                    _ => break,
                };
                sleep(a_moment()).await;
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

/// How long a busy database is let alone, never quite the same.
fn a_moment() -> Duration {
    BUSY.mul_f64(0.5 + fastrand::f64())
}
