//! Leader: of several processes, one serves, and when it goes another one does.

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

/// What a candidate is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It wants to be elected, or will when it runs.
    Candidate,
    /// It is elected.
    Leader {
        /// The fencing token of this term: greater than those of all options before. A lease always has
        /// one. A session lock has one if it was taken with [`Lock::fenced`]; else this is `None`.
        fence: Option<u64>,
    },
    /// It was stopped, or its run has ended.
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
/// Clones are the same candidate: any of them can ask for its role and stop it.
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
            // A process that was frozen must not believe that it leads, whoever notices that first.
            Some(term) if !term.is_lost() => Role::Leader { fence: term.fence },
            _ => Role::Candidate,
        }
    }
}

impl Lock {
    /// A candidate for being the one who holds this lock for as long as it can. Nothing happens before
    /// [`Leader::run`]. The lock's [`timeout`](Lock::timeout) does not count: a candidate waits for ever.
    ///
    /// To refuse what an earlier leader sends late, take a [`fenced`](Lock::fenced) lock or a lease, and
    /// see [`fence`](crate::fence).
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
    /// How long to pause after an error before campaigning again. Each further error in a row doubles
    /// the pause, up to 32 times this; all pauses have jitter. Default: 1 s.
    ///
    /// # Errors
    /// [`run`](Leader::run) is [`Error::Config`] with a pause of zero, or of more than a year.
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = pause;
        self
    }

    /// Calls this with each new role, in order, on the task or thread that runs. Keep it short: the body
    /// begins after it. A panic in it is caught and logged.
    ///
    /// [`Role::Candidate`] comes after a loss, as soon as it is noticed. [`Role::Stopped`] comes before the
    /// lock is released, and also when the future of [`run`](Leader::run) is dropped.
    pub fn on_change(mut self, callback: impl Fn(Role) + Send + Sync + 'static) -> Self {
        self.on_change = Some(Arc::new(callback));
        self
    }

    /// Campaigns for ever, and runs the body while elected. Returns the body's value, or `None` when it
    /// was stopped.
    ///
    /// If the term is lost, the body is dropped at its next await, and the campaign begins again. After
    /// [`stop`](Leader::stop), the body is dropped at its next await, the lock is released, and this
    /// returns. What a body returns after its term was lost is dropped, too: somebody else may lead.
    ///
    /// In a task that is spawned, the body is `async move |term: &Guard| …`: one that borrows what it captures
    /// is refused there, as "not general enough".
    ///
    /// A server that cannot be reached or answers with an error is asked again, see
    /// [`retry_after`](Leader::retry_after); each such error is logged at WARN.
    ///
    /// # Errors
    /// What no repetition mends: [`Error::Config`], also where this candidate runs already,
    /// [`Error::Permission`], [`Error::Unsupported`], [`Error::InvalidKey`], [`Error::Reentrant`], and
    /// [`Error::Closed`] when the locker is closed.
    ///
    /// # Cancel safety
    /// As the body's. Dropping the future steps down: nothing stays locked or queued.
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

    /// [`run`](Leader::run) without `await`. A sync body cannot be dropped: it returns soon after
    /// [`Guard::is_lost`] is `true` or [`role`](Leader::role) is [`Role::Stopped`]. When it returns
    /// after a loss, the campaign begins again, and runs it anew.
    ///
    /// # Errors
    /// As [`run`](Leader::run); [`Error::Config`] inside the very current-thread runtime that the locker
    /// was told to run on.
    pub fn run_blocking<T>(&self, mut body: impl FnMut(&Guard) -> T) -> Result<Option<T>> {
        self.lock.locker().may_block()?;
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

    /// What it is now, as far as this process can know: never [`Role::Leader`] once the lock is lost by
    /// what the server said or by the clock. Local and cheap.
    ///
    /// From [`stop`](Leader::stop) on it is [`Role::Stopped`], also while a sync body has yet to return.
    pub fn role(&self) -> Role {
        let role = self.state.borrow().role();
        *self.seen() = role;
        role
    }

    /// Waits until the role is another one than this clone has shown last, by this or by
    /// [`role`](Leader::role); and returns it. Tasks that watch have a clone each. What changes back
    /// meanwhile is not seen: [`on_change`](Leader::on_change) sees all.
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

    /// Steps down, for good: the run ends, and each later one at once. Returns at once, from any clone and
    /// any thread.
    ///
    /// It neither blocks nor awaits nor allocates, so it can be called where signals arrive: in a task
    /// on `tokio::signal`, in the handler of the crate `ctrlc`, on a thread of `signal-hook`'s iterator.
    /// In a bare handler of POSIX (`sigaction`), where not even a mutex may be touched, set a flag instead,
    /// and stop on another thread.
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
