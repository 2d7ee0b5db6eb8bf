//! The end of an engine's work: whatever it holds is let go.
//!
//! First all guards know that they hold nothing any more, then the locks go. Nothing is called
//! released that the database has not confirmed.

use std::time::Duration;

use tokio::time::Instant;

use super::actor::Actor;
use super::callers::lose_all;
use super::end::EngineEnd;
use super::executor::{Executor, Report};
use super::inbox::Inbox;
use super::lock_table::{Event, GrantId};
use super::message::{Message, Request};
use super::timer::Timer;
use crate::error::Error;
use crate::status::holder::Stage;
use crate::status::lost::LostReason;
use crate::wait_group::Share;

/// How long the database may take to confirm that it has let go.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(3);

/// How long whoever closes waits for the end of a `min_hold`. Clocks that differ by more are not what
/// it is for, and a program that is told to end must end.
const KEPT_MAX: Duration = Duration::from_secs(60);

impl<E: Executor> Actor<E> {
    /// Lets go of everything and disconnects. `patient`: somebody waits until nothing is left.
    /// Gives back those who are to be told when all is over.
    pub(super) async fn close(
        mut self,
        inbox: &mut Inbox,
        end: &EngineEnd,
        patient: bool,
    ) -> Vec<Share> {
        lose_all(self.callers.granted.all_held().map(|(_, hold, _)| hold));
        let mut settling = std::mem::take(&mut self.settling);
        for message in inbox.drain().await {
            match message {
                Message::ReportIdle(done) => settling.push(done),
                // What was let go goes below, with all the rest.
                message => message.fail(&Error::Closed),
            }
        }
        self.turn_away();
        let holds: Vec<GrantId> = self.callers.granted.all_held().map(|(id, ..)| id).collect();
        for hold in holds {
            self.release(hold);
        }
        self.keep(end, patient);
        self.confirm_releases(patient).await;
        let Actor { callers, executor, .. } = self;
        executor.shutdown().await;
        // What is not confirmed by now is not called released.
        drop(callers);
        settling
    }

    /// Answers those who wait: nothing is granted any more.
    fn turn_away(&mut self) {
        // Their time is up.
        for (request, waited) in self.lookups.drain() {
            request.refuse(waited, Stage::Database, None);
        }
        self.answer_all(|request| request.fail(Error::Closed));
        self.callers.sleepers.clear();
    }

    /// Lets all who wait go on as if nobody had what they wait for: locking is switched off. What is
    /// held stays so.
    pub(super) fn let_all_pass(&mut self) {
        self.answer_all(|request| request.let_pass());
        for (_, sleeper) in self.callers.sleepers.drain() {
            let _ = sleeper.send(());
        }
    }

    /// Answers all who have had no answer yet; nobody here wants anything of the database then.
    fn answer_all(&mut self, answer: impl Fn(Box<Request>)) {
        let requests: Vec<_> = self.callers.requests.keys().copied().collect();
        for id in requests {
            self.take(id).into_iter().for_each(&answer);
            self.step(Event::Abandon { request: id }, LostReason::Closed);
        }
        for (hold, request) in self.callers.granted.drain_confirming() {
            answer(request);
            self.step(Event::Release { hold, budget_spent: true }, LostReason::Closed);
        }
        self.callers.doubts.drain(..).for_each(|doubt| answer(doubt.request));
        self.lookups.drain().for_each(|(request, _)| answer(request));
    }

    /// Says what is kept for a while though its holder has gone, and for how long.
    fn keep(&mut self, end: &EngineEnd, patient: bool) {
        let Some(until) = self.kept_until() else { return };
        let left = until.saturating_duration_since(Instant::now());
        if patient {
            end.keep_until((Instant::now() + left.min(KEPT_MAX)).into_std());
        } else {
            end.keep_until(until.into_std());
        }
        if !patient || left > KEPT_MAX {
            tracing::warn!(target: "dlock", locks = self.callers.granted.lingering(), ?left,
                "the min_hold of a lock is not over, and a session lock keeps it no longer than its \
                 process, nor longer than {KEPT_MAX:?} after Locker::close, which is to be awaited \
                 at the end of the program; leases keep it by themselves");
        }
    }

    /// Until when something is kept that the database does not keep by itself.
    fn kept_until(&self) -> Option<Instant> {
        if E::KEEPS_MIN_HOLD {
            return None;
        }
        let lingers = |id: &GrantId| self.callers.granted.lingers(*id);
        let deadlines =
            self.deadlines.iter().filter(|(_, id, alarm)| alarm.is_min_hold() && lingers(id));
        deadlines.map(|(at, ..)| *at).max()
    }

    /// Ends when the database has confirmed all that was let go, or does not.
    async fn confirm_releases(&mut self, patient: bool) {
        let mut timer = Timer::default();
        let mut reports = Vec::new();
        let begun = Instant::now();
        loop {
            let kept = self.kept_until();
            let kept = if patient { kept.map(|at| at.min(begun + KEPT_MAX)) } else { kept };
            let is_kept = kept.is_some_and(|at| at > Instant::now());
            let is_held = self.callers.granted.all_held().next().is_some();
            if !is_held && !self.executor.has_unanswered() && !is_kept {
                return;
            }
            let longest = kept.unwrap_or(begun).max(begun) + CONFIRMED_WITHIN;
            if Instant::now() >= longest {
                return;
            }
            self.executor.flush();
            let next = self.deadlines.first().map_or(longest, |(at, ..)| longest.min(*at));
            tokio::select! {
                biased;
                () = self.executor.recv(&mut reports) => {}
                () = timer.until(Some(next)) => {}
            }
            for Report { event, reason } in reports.drain(..) {
                self.step(event, reason);
            }
            self.ring(true);
        }
    }
}
