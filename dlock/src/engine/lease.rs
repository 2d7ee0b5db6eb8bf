//! Carries the table's decisions out on a lease table, over one connection.
//!
//! While a question is with the database, whatever else is wanted comes together and goes out as
//! the next one. What is held is renewed after each third of its ttl, all of it in one statement.
//! A lease whose word has run out is lost, even if its row could still be renewed: its holder may
//! have stopped, and others may have looked.

mod answers;
mod asks;
mod grant;
mod handing;
mod handover;
mod job;
mod line;
mod portion;
#[cfg(test)]
mod tests;
mod words;

use std::collections::VecDeque;
use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use self::answers::FIRST_PAUSE;
use self::asks::{Asks, about};
use self::grant::{Agreed, Grant};
use self::job::{Job, Prune, Question, Session, carry_out};
use self::line::Line;
use self::portion::{Luck, Portions};
use super::executor::{Adopted, Contact, Executor, Held, Reply, Report};
use super::hold::Hold;
use super::lock_table::{Event, HoldId, Ticket};
use super::mail::HandedOver;
use super::map::Map;
use super::timer::Timer;
use super::unwind::catch_panic;
use crate::backend::Seen;
use crate::backend::lease::{Failure, Lease, LeaseBackend, LeaseOptions, Owner, Verdicts};
use crate::clock::{Time, Word};
use crate::error::{Error, Result};
use crate::observe::Telemetry;
use crate::spec::lock_id::Claim;
use crate::spec::native::NativeKey;
use crate::spec::options::Terms;
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
    held: Map<NativeKey, Grant>,
    releases: Vec<Release>,
    /// Those that are with the database, in its order.
    releasing: Vec<Release>,
    questions: VecDeque<Question>,
    applies: Portions,
    renewals: Portions,
    /// How many have been refused alone since something was answered.
    failed_alone: u32,
    /// The last job was a question.
    asked: bool,
    renewing: bool,
    /// Something is to be handed over.
    handing: bool,
    /// What was not fresh may be now.
    news: bool,
    renew_at: Option<Instant>,
    /// When the first word may run out.
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
    /// It was good when the release was asked.
    in_time: bool,
    /// When this has run out there is nothing left to give back.
    word: Arc<Word>,
    luck: Luck,
    settles: Option<Settling>,
}

/// Settles a hold when its row has been given back, or has run out.
struct Settling {
    hold: Arc<Hold>,
    word: Arc<Word>,
}

impl Settling {
    /// The database has confirmed it, or has found (`clean` is `false`) that the row was somebody else's:
    /// then nothing is kept for this holder, who must not believe so.
    fn confirm(self, clean: bool) {
        if clean {
            self.hold.settle();
        } else {
            self.hold.lose(LostReason::NotHeld);
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if self.word.good_at(Time::now()) {
            self.hold.settle_unconfirmed();
        } else {
            self.hold.settle();
        }
    }
}

/// Why a row is given back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Somebody has asked for it.
    Asked(Ticket),
    /// It is perhaps ours, and nobody here wants it.
    Debt,
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
            applies: Portions::new(),
            renewals: Portions::new(),
            failed_alone: 0,
            asked: false,
            renewing: false,
            handing: false,
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

    fn agree(&self, terms: &Terms) -> Agreed {
        Agreed::new(terms, &self.options, self.ttl)
    }

    fn report(&mut self, event: Event<Claim>, reason: LostReason) {
        self.reports.push(Report { event, reason });
    }
}

impl<B: LeaseBackend> Executor for Leases<B> {
    const KEEPS_MIN_HOLD: bool = true;
    const HAS_TOKENS: bool = true;

    fn try_lock(&mut self, claim: Claim, ticket: Ticket, terms: &Terms) {
        self.asks.once(claim.key, ticket, self.agree(terms));
    }

    fn wait(&mut self, claim: Claim, ticket: Ticket, until: Option<Instant>, terms: &Terms) {
        self.asks.until(claim.key, ticket, self.agree(terms), until);
    }

    fn hand_over(&mut self, claim: &Claim, ticket: Ticket, terms: &Terms) {
        let agreed = self.agree(terms);
        if let Some(grant) = self.held.get_mut(&claim.key).filter(|grant| grant.ticket == ticket) {
            grant.hand_over(agreed);
            self.handing |= grant.handing.is_some();
            self.schedule(&claim.key);
        }
    }

    fn can_wait(&self, _: &Terms) -> bool {
        true
    }

    fn cancel(&mut self, claim: &Claim, ticket: Ticket) {
        if self.asks.cancel(&claim.key, ticket) {
            self.report(Event::Ended { key: claim.clone(), ticket }, LostReason::NotHeld);
        }
    }

    fn unlock(&mut self, claim: Claim, _: Ticket, ticket: Ticket) {
        self.give_back(&claim.key, ticket);
    }

    fn keep(&mut self, claim: &Claim, min_hold: Duration) {
        if let Some(grant) = self.held.get_mut(&claim.key).filter(|grant| grant.handing.is_none()) {
            grant.agreed.min_hold = grant.agreed.min_hold.max(min_hold);
            // Its row is to last as long.
            grant.due = true;
            self.schedule(&claim.key);
        }
    }

    fn linger(&mut self, claim: &Claim, rest: Duration, hold: &Arc<Hold>) -> bool {
        self.keep_from_all(&claim.key, rest, hold)
    }

    fn distrust(&mut self, Claim { key, .. }: &Claim, ticket: Ticket) {
        if self.held.get(key).is_some_and(|grant| grant.ticket == ticket)
            && let Some(grant) = self.held.remove(key)
        {
            grant.word.end(LostReason::NotHeld);
            self.owe_all_of(&grant);
        }
    }

    fn held(&self, claim: &Claim, _: Ticket) -> Option<Held> {
        let grant = self.held.get(&claim.key)?;
        Some(Held {
            word: grant.word.clone(),
            fresh: grant.is_fresh(),
            fence: grant.lease.fence,
            since: grant.since,
            lapse: grant.lapse(),
        })
    }

    fn refresh(&mut self, claim: &Claim, _: Ticket) {
        if let Some(grant) = self.held.get_mut(&claim.key).filter(|grant| grant.handing.is_none()) {
            grant.due = true;
            if !self.renewing {
                self.schedule(&claim.key);
            }
        }
    }

    fn verify(&mut self, claim: &Claim, _: Ticket, reply: Reply<bool>) {
        match self.held.get(&claim.key) {
            Some(grant) => self.ask_to_check(grant.lease.clone(), reply),
            None => drop(reply.send(Ok(false))),
        }
    }

    fn status(&mut self, reply: Reply<Vec<Seen>>) {
        self.questions.push_back(Question::Status(None, reply));
    }

    /// There is one connection: one short question goes between two jobs, and only where it works.
    fn look_up(&mut self, keys: Vec<NativeKey>, reply: Reply<Vec<Seen>>) {
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
        claim: &Claim,
        hold: HoldId,
        owner: Arc<str>,
        reply: Reply<HandedOver>,
    ) {
        self.ask_for_token(&claim.key, hold, owner, reply);
    }

    fn drop_token(&mut self, key: NativeKey, owner: Arc<str>) {
        let (owner, lasts) = (Owner::Token(owner), self.ttl);
        self.owe(Lease { key, owner, fence: None, lasts });
    }

    fn adopt(&mut self, ticket: Ticket, adopted: Adopted) {
        self.ask_to_adopt(ticket, adopted);
    }

    fn prune(&mut self, older_than: Duration, reply: Reply<u64>) {
        let (from, removed) = (String::new(), 0);
        self.questions.push_back(Question::Prune(Prune { older_than, from, removed, reply }));
    }

    fn contact(&mut self, claim: &Claim, since: Time) -> Contact {
        if self.asks.refused_after(&claim.key, since) {
            return Contact::Heard;
        }
        if self.trouble.is_some() && self.pause > FIRST_PAUSE {
            return Contact::Failed;
        }
        self.in_doubt = true;
        if self.asks.ask_now(&claim.key) {
            return Contact::Unknown;
        }
        // Nobody asks for it any more: that the database answers is all there is to know.
        if self.answered >= since {
            return Contact::Heard;
        }
        if self.questions.is_empty() && matches!(self.line, Line::Idle(_)) {
            let (reply, _) = oneshot::channel();
            self.questions.push_back(Question::Status(Some(claim.key.clone()), reply));
        }
        Contact::Unknown
    }

    fn label(&self) -> Box<str> {
        self.backend.label()
    }

    fn flush(&mut self) {
        self.send();
    }

    fn owes(&self) -> bool {
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
            let alarm = self.alarm();
            tokio::select! {
                biased;
                word = self.line.word(&*self.backend, self.asks.are_polled()) => match word {
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
                let job = Job::Apply { releases, takes: Vec::new(), verdicts: Verdicts::default() };
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
