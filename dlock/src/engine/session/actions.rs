//! What the table orders, and how it goes to sessions.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::handle::SessionHandle;
use super::polling::Polls;
use super::roles::Demand;
use super::routing::{a_try, is_fenced};
use super::task::{OwnSession, Question};
use super::{Sessions, no_answer};
use crate::backend::{BatchItem, LockView, Op};
use crate::clock::Time;
use crate::engine::executor::{Contact, Executor, GrantInfo, Reply, Report};
use crate::engine::lock_table::{Event, Ticket};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::Finding;
use crate::status::lost::LostReason;

/// A wait that the server itself ends so soon is not cancelled.
const SOON: Duration = Duration::from_millis(10);
/// The ticket of what the table has not asked for.
pub(super) const NOBODY: Ticket = 0;
/// How long the server has at that to answer what it need not wait for, before another session is
/// asked.
const PROMPT: Duration = Duration::from_secs(1);
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(3);

impl Executor for Sessions {
    const KEEPS_MIN_HOLD: bool = false;

    fn try_lock(&mut self, lock_id: LockId, ticket: Ticket, options: &LockOptions) {
        self.gathered.push(BatchItem { what: a_try(lock_id, options.fenced), ticket });
    }

    fn wait(
        &mut self,
        lock_id: LockId,
        ticket: Ticket,
        until: Option<Instant>,
        options: &LockOptions,
    ) {
        let coming = self.links.len() < self.most() || self.can_wait(options);
        let now = Instant::now();
        self.polls.add((lock_id, ticket), options, until, coming, now);
    }

    fn hand_over(&mut self, lock_id: &LockId, grant: Ticket, options: &LockOptions) {
        let Some(held) = self.held.get_mut(&grant) else { return };
        let draw = held.token.hand_over(options.fenced);
        let Some(link) = self.links.get_mut(&held.session) else { return };
        if held.fenced != options.fenced {
            held.fenced = options.fenced;
            link.change_lock(options.fenced);
        }
        if draw && link.keeps_plain() {
            // A write must not stop what others' locks depend on: it is taken again elsewhere.
            self.release_unwanted(lock_id, grant);
        } else if draw {
            link.batch.push(BatchItem { what: Op::Fence(lock_id.clone()), ticket: grant });
        }
    }

    fn most_keys(&self) -> usize {
        usize::try_from(self.limits.keys).unwrap_or(usize::MAX)
    }

    fn too_many_keys(&self) -> Error {
        Error::too_many_keys(&self.label, self.most_keys(), self.locks_setting)
    }

    fn can_wait(&self, options: &LockOptions) -> bool {
        let now = Time::now();
        let roles = self.roles(Demand::default(), now);
        options.retry_every.is_none()
            && self.polls.len() == 0
            && self.free_waiter(&roles, now).is_some()
    }

    fn cancel(&mut self, lock_id: &LockId, ticket: Ticket) {
        if let Some(gone) = self.polls.cancel(ticket) {
            if gone {
                self.reports.push(Event::Ended { key: lock_id.clone(), ticket }.into());
            }
            return;
        }
        let link = self.links.iter_mut().find(|(_, link)| link.waits_for(ticket));
        let Some((id, link)) = link.map(|(id, link)| (*id, link)) else { return };
        let Some(wait) = link.waiting_mut() else { return };
        let clock = Instant::now();
        if std::mem::take(&mut wait.leaves) {
            // It is being stopped already.
        } else if wait.until.is_some_and(|until| until <= clock + SOON) {
            link.cancel_at = Some(clock + SOON);
        } else {
            self.stop_wait(id, false, Time::now());
        }
    }

    fn unlock(&mut self, lock_id: LockId, grant: Ticket, ticket: Ticket) {
        let grant = self.held.remove(&grant);
        let fenced = grant.as_ref().is_some_and(|grant| grant.fenced);
        let link = grant.and_then(|grant| self.links.get_mut(&grant.session));
        let Some(link) = link else {
            return self.reports.push(Event::Failed { key: lock_id, ticket, fatal: false }.into());
        };
        link.remove_key(&lock_id, fenced);
        link.batch.push(BatchItem { what: Op::Unlock(lock_id), ticket });
    }

    fn discard_session(&mut self, _: &LockId, ticket: Ticket) {
        if let Some(id) = self.held.get(&ticket).map(|grant| grant.session) {
            self.drop_session(id, LostReason::SessionEnded);
        }
    }

    fn held(&self, _: &LockId, grant: Ticket) -> Option<GrantInfo> {
        let grant = self.held.get(&grant)?;
        let link = self.links.get(&grant.session)?;
        let (validity, fence) = (Arc::clone(&link.validity), grant.token.given());
        let fresh = link.is_fresh() && grant.token.is_known();
        Some(GrantInfo {
            validity,
            fresh,
            fence,
            since: grant.since,
            lapse: LostReason::Unconfirmed,
        })
    }

    fn refresh(&mut self, _: &LockId, grant: Ticket) {
        let grant = self.held.get(&grant);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.ping();
        }
    }

    fn check_conversion(&self, from: Mode, to: Mode) -> Result<()> {
        (self.check_conversion)(from, to)
    }

    fn convert(
        &mut self,
        lock_id: &LockId,
        grant: Ticket,
        to: Mode,
        until: Option<Instant>,
        patient: bool,
    ) {
        self.begin_conversion(lock_id, grant, to, (until, !patient));
    }

    fn stop_convert(&mut self, grant: Ticket) {
        self.stop_conversion(grant);
    }

    fn verify(&mut self, lock_id: &LockId, grant: Ticket, reply: Reply<bool>) {
        let grant = self.held.get(&grant);
        if let Some(link) = grant.and_then(|grant| self.links.get_mut(&grant.session)) {
            link.questions.push(Question::Held(lock_id.clone(), reply));
        }
    }

    fn status(&mut self, reply: Reply<Vec<LockView>>) {
        let own = self.own(|_| true);
        self.query_server(Question::Status { of: None, own, spare: false, reply });
    }

    fn look_up(&mut self, keys: Vec<NativeKey>, reply: Reply<Vec<LockView>>) {
        let own = self.own(|key| keys.contains(key));
        // Of several, all that there are: it is one question.
        let of = <[NativeKey; 1]>::try_from(keys).ok().map(|[key]| key);
        self.query_server(Question::Status { of, own, spare: true, reply });
    }

    fn break_lock(&mut self, key: NativeKey, reply: Reply<Vec<String>>) {
        self.query_server(Question::Break(key, reply));
    }

    fn check(&mut self, reply: Reply<Vec<Finding>>) {
        self.query_server(Question::Check(reply));
    }

    /// On the session that carries the locks: another one would have to be opened first.
    fn ping(&mut self, reply: Reply<()>) {
        self.query_here(Question::Ping(reply));
    }

    fn contact(&mut self, _: &LockId, since: Time) -> Contact {
        if self.answered >= since || self.pace.is_lasting() {
            return Contact::Heard;
        }
        if !self.is_connected() && self.retry.next().is_some() {
            return Contact::Failed;
        }
        self.in_doubt = true;
        Contact::Unknown
    }

    fn label(&self) -> Box<str> {
        self.label.clone()
    }

    fn flush(&mut self) {
        let (now, clock) = (Time::now(), Instant::now());
        let demand = self.demand();
        let roles = self.roles(demand, now);
        for _ in 0..roles.connect {
            self.connect();
        }
        if let Some(waiting) = roles.reclaim {
            self.reclaim(waiting);
            self.connect();
        }
        // One session must be there to stop those that wait.
        while demand.waits > 0
            && roles.carrier.is_some()
            && let Some(id) = self.free_waiter(&roles, now)
            && let Some(wait) = self.polls.take_first(clock)
            && let Some(link) = self.links.get_mut(&id)
        {
            link.send_wait(wait);
        }
        self.scarce = roles.scarce;
        if self.scarce {
            // A key has more use for its place.
            self.desk.close();
            self.take_turns(demand, now);
        }
        self.deal_out(&roles, now);
        self.deal_out_conversions(clock);
        self.unwritten = self.unwritten.or(Some(clock)).filter(|_| roles.unwritable);
        self.links.values_mut().for_each(SessionHandle::send_batch);
        if std::mem::take(&mut self.in_doubt)
            && let Some(link) = self.links.values_mut().find(|link| link.is_idle())
        {
            // What is on its way on others is as good when it is answered.
            link.ping();
        }
        self.look = self.next_look(now);
    }

    fn trouble(&self) -> Error {
        self.trouble.clone()
    }

    async fn recv(&mut self, reports: &mut Vec<Report>) {
        if self.reports.is_empty() {
            // Whom that concerned has been told; it is not what others wait for.
            if !self.trouble.is_retryable() {
                self.trouble = no_answer(&self.label);
            }
            let wake = self.next_wake();
            tokio::select! {
                biased;
                _ = self.events.recv_many(&mut self.heard, 64) => {}
                () = self.timer.until(wake) => {}
            }
            let mut heard = std::mem::take(&mut self.heard);
            for (id, event) in heard.drain(..) {
                self.on_event(id, event);
            }
            self.heard = heard;
            if wake.is_some_and(|at| at <= Instant::now()) {
                self.tick();
            }
        }
        reports.append(&mut self.reports);
    }

    async fn shutdown(mut self) {
        self.desk.close();
        let deadline = Instant::now() + CLOSE;
        self.end_waits(deadline).await;
        for (_, mut link) in std::mem::take(&mut self.links) {
            link.send_batch();
            // One that is still connecting, or waits for what nobody wants, would not hear of it.
            if link.tag.is_none() || link.waiting().is_some() {
                link.task.abort();
            }
            link.close();
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout_at(deadline, all).await;
    }
}

impl Sessions {
    pub(super) fn demand(&self) -> Demand {
        Demand {
            plain: self.in_doubt
                || !self.questions.is_empty()
                || self.gathered.iter().any(|op| !is_fenced(op)),
            fenced: self.gathered.iter().any(is_fenced),
            waits: self.polls.len(),
            careful: self.unshared.is_none_or(|until| until <= Instant::now()),
        }
    }

    /// Gives back what was granted by that ticket, and has the table ask for it anew.
    fn release_unwanted(&mut self, lock_id: &LockId, grant: Ticket) {
        let Some(held) = self.held.remove(&grant) else { return };
        if let Some(link) = self.links.get_mut(&held.session) {
            link.remove_key(lock_id, held.fenced);
            link.batch.push(BatchItem { what: Op::Unlock(lock_id.clone()), ticket: NOBODY });
        }
        self.reports.push(Event::Lost { key: lock_id.clone(), grant }.into());
    }

    /// Ends the sessions that would not hear of their end: a server may let one that waits stay in
    /// line until its wait is over, whatever becomes of the connection.
    async fn end_waits(&mut self, deadline: Instant) {
        let closes = !self.pace.stops_waits();
        let deaf = self.links.values().filter(|link| !link.is_idle());
        // Where a wait ends with its connection, that is all there is to do.
        let deaf = deaf.filter(|link| !(closes && link.waiting().is_some()));
        let ends = deaf.filter_map(|link| Some(Op::End(link.tag.filter(|_| link.is_deaf())?)));
        let ends: Vec<BatchItem> = ends.map(|what| BatchItem { what, ticket: NOBODY }).collect();
        if ends.is_empty() {
            return;
        }
        self.polls = Polls::default();
        let prompt = deadline.min(Instant::now() + PROMPT);
        if self.end_by(ends.clone(), prompt).await {
            return;
        }
        // The session that was to do it may be as dead as those that wait: one more tells the server.
        let others = std::mem::take(&mut self.links);
        self.connect();
        self.end_by(ends, deadline).await;
        self.links.extend(others);
    }

    /// Returns `true` if the server has answered these orders in time.
    async fn end_by(&mut self, ends: Vec<BatchItem>, deadline: Instant) -> bool {
        self.gathered = ends;
        let is_end = |op: &BatchItem| matches!(op.what, Op::End(_));
        let mut reports = Vec::new();
        loop {
            self.flush();
            let sent = self.links.values().any(|link| link.is_asked(is_end));
            if !sent && !self.gathered.iter().any(is_end) {
                return true;
            }
            if timeout_at(deadline, self.recv(&mut reports)).await.is_err() {
                return false;
            }
            reports.clear();
        }
    }
}

impl Sessions {
    /// Which sessions of the server's are ours: those that hold one of these keys, and those that
    /// hold nothing.
    fn own(&self, wanted: impl Fn(&NativeKey) -> bool) -> Vec<OwnSession> {
        let grants = self.held.values().filter(|grant| wanted(&grant.lock_id.key));
        let own = grants.filter_map(|grant| {
            let tag = self.links.get(&grant.session)?.tag?;
            Some(OwnSession {
                tag,
                held: Some((grant.lock_id.key.clone(), grant.since)),
                waits: None,
            })
        });
        let waiting = self.links.values().filter(|link| link.holds == 0);
        let waiting = waiting.filter_map(|link| {
            let waits = link.waiting().map(|wait| wait.lock_id.key.clone());
            Some(OwnSession { tag: link.tag?, held: None, waits })
        });
        own.chain(waiting).collect()
    }
}
