//! Leader: one of several processes serves. When it stops, another one takes over.

mod campaign;

use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use self::campaign::Campaign;
use crate::blocking::block_on;
use crate::engine::Grant;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::lock::guard::Guard;
use crate::lock::scope::{End, OnLoss};
use crate::spec::options::LONGEST;
use crate::spec::wait::Wait;

/// The default of [`Leader::retry_after`].
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The current role of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The candidate waits to be elected, or has not been run yet.
    Candidate,
    /// The candidate is elected.
    Leader {
        /// The fencing token of this term, which is greater than those of all terms before. A lease
        /// always has one. A session lock has one if it was taken with [`Lock::fenced`]; otherwise
        /// this is `None`.
        fence: Option<u64>,
    },
    /// The candidate was stopped, or its run has ended.
    Stopped,
}

impl Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Candidate => f.write_str("candidate"),
            Role::Leader { fence: Some(fence) } => write!(f, "leader with fence {fence}"),
            Role::Leader { fence: None } => f.write_str("leader"),
            Role::Stopped => f.write_str("stopped"),
        }
    }
}

type OnChange = Arc<dyn Fn(Role) + Send + Sync>;

/// One of several candidates, of which at most one leads. Made by [`Lock::leader`].
///
/// Clones are the same candidate: each of them can read its role and stop it.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
/// let locker = dlock::Locker::connect("memory:docs-leader").await?;
/// let leader = locker.lock("scheduler").leader();
/// let ticks = leader
///     .run(async |term: &dlock::Guard| {
///         // Elected: nobody else is. Dropped at its next await if the term is lost.
///         term.verify().await.is_ok()
///     })
///     .await?;
/// assert_eq!(ticks, Some(true));
/// # Ok(()) }
/// ```
#[must_use = "nobody is elected yet: await `run(async |term| …)`, or call `run_blocking`"]
pub struct Leader {
    lock: Lock,
    retry_after: Duration,
    on_change: Option<OnChange>,
    state: Arc<watch::Sender<State>>,
    /// What this clone has shown last.
    seen: Mutex<Role>,
}

/// What all clones share.
#[derive(Default)]
struct State {
    /// Someone runs.
    is_running: bool,
    /// It ran, and does not any more.
    has_ended: bool,
    is_stopped: bool,
    /// The term, while it is elected.
    term: Option<Arc<Grant>>,
}

impl State {
    fn role(&self) -> Role {
        match &self.term {
            _ if self.is_stopped || self.has_ended => Role::Stopped,
            // A process that was frozen must not believe that it leads, whichever part notices that first.
            Some(term) if !term.is_lost() => Role::Leader { fence: term.fence },
            _ => Role::Candidate,
        }
    }
}

impl Lock {
    /// Returns a candidate for leadership: for holding this lock as long as it can. Nothing happens
    /// before [`Leader::run`]. The lock's [`timeout`](Lock::timeout) does not apply: a candidate
    /// waits for ever.
    ///
    /// To reject late writes of an earlier leader, use a [`fenced`](Lock::fenced) lock or a lease,
    /// and see [`fence`](crate::fence).
    pub fn leader(self) -> Leader {
        Leader {
            lock: self.timeout(Wait::Forever),
            retry_after: RETRY_AFTER,
            on_change: None,
            state: Arc::new(watch::Sender::new(State::default())),
            seen: Mutex::new(Role::Candidate),
        }
    }
}

impl Leader {
    /// Sets how long to pause after an error before campaigning again. Each further error in a row
    /// doubles the pause, up to 32 times this value. All pauses have jitter. Default: 1 s.
    ///
    /// # Errors
    /// [`run`](Leader::run) returns [`Error::Config`] if the pause is zero or longer than a year.
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = pause;
        self
    }

    /// Calls `callback` with each new role, in order, on the task or thread that runs the
    /// candidate. Keep it short, because the body begins after it. A panic in it is caught and
    /// logged.
    ///
    /// [`Role::Candidate`] comes after a loss, as soon as the loss is noticed. [`Role::Stopped`]
    /// comes before the lock is released, and also when the future of [`run`](Leader::run) is
    /// dropped.
    pub fn on_change(mut self, callback: impl Fn(Role) + Send + Sync + 'static) -> Self {
        self.on_change = Some(Arc::new(callback));
        self
    }

    /// Campaigns for ever, and runs the body while elected. Returns the body's value, or `None` if
    /// the candidate was stopped.
    ///
    /// If the term is lost, dlock drops the body at its next await, and the campaign begins again.
    /// After [`stop`](Leader::stop), dlock drops the body at its next await, releases the lock, and
    /// this returns. If a body returns after its term was lost, its value is dropped too, because
    /// another candidate may lead.
    ///
    /// In a spawned task, write the body as `async move |term: &Guard| …`. There the compiler
    /// refuses a body that borrows what it captures, as "not general enough".
    ///
    /// If the server cannot be reached or answers with an error, dlock tries again after
    /// [`retry_after`](Leader::retry_after). It logs each such error at WARN.
    ///
    /// # Errors
    /// Errors that a retry does not remove: [`Error::Config`], also if this candidate runs already,
    /// [`Error::Permission`], [`Error::Unsupported`], [`Error::InvalidKey`], [`Error::Reentrant`],
    /// and [`Error::Closed`] if the locker is closed.
    ///
    /// # Cancel safety
    /// The same as the body. Dropping the future steps down: nothing stays locked or queued.
    pub async fn run<T>(&self, mut body: impl AsyncFnMut(&Guard) -> T) -> Result<Option<T>> {
        let mut campaign = Campaign::begin(self)?;
        loop {
            let Some(term) = campaign.win(OnLoss::Cancel).await? else { return Ok(None) };
            let output = match term.guard() {
                Some(guard) => tokio::select! {
                    biased;
                    () = campaign.stopped() => None,
                    output = term.poll_body(body(guard)) => output,
                },
                None => None,
            };
            campaign.step_down(output.is_some());
            match term.finish(output).await {
                End { output: Some(output), lost: None } => return Ok(Some(output)),
                // It was lost, or stopped: the next election tells.
                _ => campaign.go_on(),
            }
        }
    }

    /// Does the same as [`run`](Leader::run), and blocks the thread instead of awaiting. A sync
    /// body cannot be dropped: it must return soon after [`Guard::is_lost`] is `true` or
    /// [`role`](Leader::role) is [`Role::Stopped`]. If it returns after a loss, the campaign begins
    /// again and the body runs again.
    ///
    /// # Errors
    /// Those of [`run`](Leader::run), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn run_blocking<T>(&self, mut body: impl FnMut(&Guard) -> T) -> Result<Option<T>> {
        self.lock.core().may_block()?;
        let mut campaign = Campaign::begin(self)?;
        loop {
            let Some(term) = block_on(campaign.win(OnLoss::Report))? else { return Ok(None) };
            let output = term.guard().map(|guard| term.call(|| body(guard)));
            campaign.step_down(true);
            match term.finish_blocking(output) {
                End { output: Some(output), lost: None } => return Ok(Some(output)),
                _ => campaign.go_on(),
            }
        }
    }

    /// Returns the current role, as far as this process can know. It is never [`Role::Leader`] once
    /// the lock is lost by the server's answer or by the clock. Local and cheap.
    ///
    /// After [`stop`](Leader::stop) it is [`Role::Stopped`], also while a sync body has not
    /// returned yet.
    pub fn role(&self) -> Role {
        let role = self.state.borrow().role();
        *self.seen() = role;
        role
    }

    /// Waits until the role differs from the last one that this clone has returned, by this method
    /// or by [`role`](Leader::role), and returns the new role. Each task that watches needs a clone
    /// of its own. A change that is reversed in the meantime is not seen:
    /// [`on_change`](Leader::on_change) sees all changes.
    ///
    /// # Cancel safety
    /// No change is missed.
    pub async fn changed(&self) -> Role {
        loop {
            let mut state = self.state.subscribe();
            let term = state.borrow_and_update().term.clone();
            let role = self.state.borrow().role();
            if std::mem::replace(&mut *self.seen(), role) != role {
                return role;
            }
            let lost = async {
                match term.filter(|term| !term.is_lost()) {
                    Some(term) => drop(term.lost().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender is there as long as this is.
                _ = state.changed() => {}
                () = lost => {}
            }
        }
    }

    /// Steps down for good: the run ends, and each later run ends at once. Returns at once, from
    /// any clone and any thread.
    ///
    /// It does not block, await or allocate. So it can be called where signals arrive: in a task on
    /// `tokio::signal`, in the handler of the crate `ctrlc`, or on a thread of `signal-hook`'s
    /// iterator. A bare POSIX handler (`sigaction`) may not even touch a mutex: set a flag there
    /// instead, and stop on another thread.
    pub fn stop(&self) {
        self.state.send_if_modified(|state| !std::mem::replace(&mut state.is_stopped, true));
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Role> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<()> {
        if self.retry_after.is_zero() || self.retry_after > LONGEST {
            return Err(Error::config(format!(
                "retry_after is {:?}; it must be more than zero and at most a year",
                self.retry_after
            )));
        }
        Ok(())
    }
}

impl Clone for Leader {
    fn clone(&self) -> Self {
        Leader {
            lock: self.lock.clone(),
            retry_after: self.retry_after,
            on_change: self.on_change.clone(),
            state: Arc::clone(&self.state),
            seen: Mutex::new(*self.seen()),
        }
    }
}

impl fmt::Debug for Leader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader")
            .field("key", self.lock.key())
            .field("role", &self.state.borrow().role())
            .field("retry_after", &self.retry_after)
            .finish_non_exhaustive()
    }
}
