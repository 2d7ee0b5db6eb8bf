//! From candidate to leader, again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Leader, Role, State};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::lock::guard::Guard;
use crate::lock::scope::{AnyGuard, OnLoss, Scope};

/// A pause after errors is at most this many times the first one.
const BACK_OFF_MAX: u32 = 32;

/// One run. Ends as [`Role::Stopped`], however it ends.
pub(super) struct Campaign<'a> {
    leader: &'a Leader,
    changes: watch::Receiver<State>,
    /// Errors in a row.
    errors: u32,
    /// When the newest term began.
    elected: Option<Time>,
    /// What the callback was told last.
    told: Role,
}

impl<'a> Campaign<'a> {
    pub(super) fn begin(leader: &'a Leader) -> Result<Self> {
        leader.check()?;
        let begun = leader.state.send_if_modified(|state| {
            let begins = !state.is_running;
            if begins {
                (state.is_running, state.has_ended) = (true, false);
            }
            begins
        });
        if !begun {
            return Err(Error::config(format!(
                "this candidate for \"{}\" runs already; make another one with Lock::leader",
                leader.lock.key()
            )));
        }
        let changes = leader.state.subscribe();
        Ok(Campaign { leader, changes, errors: 0, elected: None, told: Role::Candidate })
    }

    /// Ends when it was stopped. Cancel-safe.
    pub(super) async fn stopped(&self) {
        // Its sender is the leader's.
        let _ = self.changes.clone().wait_for(|state| state.is_stopped).await;
    }

    /// Waits to be elected; `None`: it was stopped.
    pub(super) async fn win(&mut self, on_loss: OnLoss) -> Result<Option<Scope<Guard>>> {
        // Terms that are lost as soon as they begin do not follow each other without a pause.
        let left = self.elected.map(|at| self.leader.retry_after.saturating_sub(at.elapsed()));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            self.pause(left.mul_f64(fastrand::f64())).await?;
        }
        loop {
            let taken = tokio::select! {
                biased;
                () = self.stopped() => return Ok(None),
                taken = self.leader.lock.acquire() => taken,
            };
            let error = match taken.and_then(|guard| Scope::new(guard, on_loss)) {
                Ok(term) => {
                    if self.enter(&term) {
                        return Ok(Some(term));
                    }
                    // It was stopped in this moment.
                    term.finish::<()>(None).await;
                    return Ok(None);
                }
                Err(error) if is_passing(&error) => error,
                Err(error) => return Err(error),
            };
            let pause = self.back_off();
            let key = self.leader.lock.key();
            tracing::warn!(target: "dlock", %key, %error, ?pause, "the campaign goes on after an error");
            self.pause(pause).await?;
        }
    }

    /// It is elected; `false`: it was stopped.
    fn enter(&mut self, term: &Scope<Guard>) -> bool {
        let grants = term.guard().map(AnyGuard::grants);
        let grant = grants.as_ref().and_then(|grants| grants.iter().next()).cloned();
        self.leader.state.send_modify(|state| state.term = grant);
        self.errors = 0;
        self.elected = Some(Time::now());
        self.tell();
        self.told != Role::Stopped
    }

    /// The term is over; `returned`: so is the run, if the term was not lost.
    pub(super) fn step_down(&mut self, returned: bool) {
        self.leader.state.send_modify(|state| {
            let lost = state.term.take().is_none_or(|term| term.is_lost());
            state.has_ended = returned && !lost;
        });
        self.tell();
    }

    /// The body has returned, but its term was lost.
    pub(super) fn go_on(&mut self) {
        self.leader.state.send_modify(|state| state.has_ended = false);
        self.tell();
    }

    fn back_off(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.errors).unwrap_or(BACK_OFF_MAX).min(BACK_OFF_MAX);
        self.errors += 1;
        let pause = self.leader.retry_after.saturating_mul(factor);
        pause.mul_f64(0.5 + 0.5 * fastrand::f64())
    }

    /// Ends early when it is stopped.
    async fn pause(&self, pause: Duration) -> Result<()> {
        tokio::select! {
            biased;
            () = self.stopped() => Ok(()),
            slept = self.leader.lock.core().engine().sleep(pause) => slept,
        }
    }

    /// Tells the callback, if there is something new.
    fn tell(&mut self) {
        let role = self.leader.state.borrow().role();
        if std::mem::replace(&mut self.told, role) == role {
            return;
        }
        let key = self.leader.lock.key();
        tracing::debug!(target: "dlock", %key, %role, "role");
        if let Some(callback) = &self.leader.on_change {
            let callback = Arc::clone(callback);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| callback(role))) {
                tracing::error!(target: "dlock", %key, "the on_change callback has panicked");
                // Its payload is the user's as well, and may panic in turn.
                std::mem::forget(panic);
            }
        }
    }
}

impl Drop for Campaign<'_> {
    fn drop(&mut self) {
        self.leader.state.send_modify(|state| {
            state.term = None;
            (state.is_running, state.has_ended) = (false, true);
        });
        self.tell();
    }
}

/// What may be over when it is asked again.
fn is_passing(error: &Error) -> bool {
    error.is_retryable() || matches!(error, Error::Backend { .. })
}
