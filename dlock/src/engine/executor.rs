//! The seam between the engine's loop and what carries its decisions out: sessions or leases.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::grant::{Grant, GrantInfo};
use super::lock_table::{Event, GrantId, RequestId, Shareable, Ticket};
use crate::backend::{LockView, no_conversion};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::Finding;
use crate::status::lost::LostReason;

/// Carries the table's decisions out on a database.
pub(crate) trait Executor: Send + 'static {
    /// What is not to be had by others for a while is kept by the database, even if this ends.
    const KEEPS_MIN_HOLD: bool;
    /// What is held can be handed over to another process.
    const HAS_TOKENS: bool = false;
    /// [`recv`](Self::recv) can be begun anew at each poll: what is to wake the task stays registered.
    const RECV_IS_RESUMED: bool = false;

    /// Ask for the key, without waiting.
    fn try_lock(&mut self, lock_id: LockId, ticket: Ticket, options: &LockOptions);
    /// Wait for the key, until then or for ever.
    fn wait(
        &mut self,
        lock_id: LockId,
        ticket: Ticket,
        until: Option<Instant>,
        options: &LockOptions,
    );
    /// The grant goes to a caller who wants it on these options: they may not be those that it was
    /// asked on, and it may have had another holder before.
    fn hand_over(&mut self, lock_id: &LockId, grant: Ticket, options: &LockOptions);
    /// How many keys there may be at once.
    fn most_keys(&self) -> usize {
        usize::MAX
    }
    /// Why there are not to be more.
    fn too_many_keys(&self) -> Error {
        Error::too_many_keys(&self.label(), self.most_keys(), None)
    }
    /// Whether a wait on these options would begin at once; if not, a try is the better question even
    /// for a key that was fought over a moment ago.
    fn can_wait(&self, options: &LockOptions) -> bool;
    /// Stop that wait.
    fn cancel(&mut self, lock_id: &LockId, ticket: Ticket);
    /// Give back what was granted by that ticket.
    fn unlock(&mut self, lock_id: LockId, grant: Ticket, ticket: Ticket);
    /// Nobody else is to have the key before this time has passed since its grant, even if the process
    /// ends.
    fn keep(&mut self, _lock_id: &LockId, _min_hold: Duration) {}
    /// The holder has released the grant, which nobody else is to have for this long yet; when that
    /// is over, it is unlocked. Returns `true` if the executor has something to do about it first,
    /// and settles the hold then.
    fn linger(&mut self, _lock_id: &LockId, _rest: Duration, _hold: &Arc<Grant>) -> bool {
        false
    }
    /// Make sure that nothing is held by what answered this ticket.
    fn discard_session(&mut self, lock_id: &LockId, ticket: Ticket);
    /// How the key is held by what was granted by that ticket.
    fn held(&self, lock_id: &LockId, grant: Ticket) -> Option<GrantInfo>;
    /// Have the database confirm the grant.
    fn refresh(&mut self, lock_id: &LockId, grant: Ticket);
    /// An error if what is held in one mode cannot be changed to another without a gap.
    fn check_conversion(&self, from: Mode, to: Mode) -> Result<()> {
        Err(no_conversion(&self.label(), from, to))
    }
    /// Have the database hold the grant in another mode, until then or for ever; one that is not
    /// patient is tried once.
    fn convert(
        &mut self,
        _lock_id: &LockId,
        _grant: Ticket,
        _to: Mode,
        _until: Option<Instant>,
        _patient: bool,
    ) {
    }
    /// Ask for that no more, and report what came of it.
    fn stop_convert(&mut self, _grant: Ticket) {}
    /// Ask the database whether the grant is there.
    fn verify(&mut self, lock_id: &LockId, grant: Ticket, reply: Reply<bool>);
    /// Ask the database who holds and who waits, of all keys.
    fn status(&mut self, reply: Reply<Vec<LockView>>);
    /// Ask the database who holds these, and perhaps others, if that is in nobody's way: else there
    /// is no answer.
    fn look_up(&mut self, keys: Vec<NativeKey>, reply: Reply<Vec<LockView>>);
    /// Take the key from whoever holds it; who that was.
    fn break_lock(&mut self, key: NativeKey, reply: Reply<Vec<String>>);
    /// Ask the database what is wrong with the set-up.
    fn check(&mut self, reply: Reply<Vec<Finding>>);
    /// Ask the database for a sign of life, in one round trip.
    fn ping(&mut self, reply: Reply<()>);
    /// Remove the rows of keys that nobody has had for so long; how many that were.
    fn prune(&mut self, _older_than: Duration, reply: Reply<u64>) {
        let _ = reply.send(Err(Error::Unsupported {
            backend: self.label(),
            what: "rows of locks to prune".into(),
            instead:
                "only leases have a row for each key; those of fencing tokens are in the same \
                      table, which a locker of leases prunes: put lease+ before the url"
                    .into(),
        }));
    }
    /// Give the grant to that owner, whom nobody has yet, and forget it. One that fails is reported as
    /// released by its holder.
    fn make_token(
        &mut self,
        _lock_id: &LockId,
        _hold: GrantId,
        _owner: Arc<str>,
        _reply: Reply<HandedOver>,
    ) {
    }
    /// Give back what that owner has.
    fn drop_token(&mut self, _key: NativeKey, _owner: Arc<str>) {}
    /// Take over what that owner has. The ticket is that of the grant.
    fn adopt(&mut self, _ticket: Ticket, _adopted: Adopted) {}
    /// The database and its address.
    fn label(&self) -> Box<str>;
    /// The database is being asked for others: what is asked now goes out together when that is over.
    fn is_in_batch(&self) -> bool {
        false
    }
    /// What comes is later than what came before.
    fn new_turn(&mut self) {}
    /// Send what has come together.
    fn flush(&mut self);
    /// Whether the database has answered something about this that was asked later than `since`.
    /// If that is not known, it is asked now.
    fn contact(&mut self, lock_id: &LockId, since: Time) -> Contact;
    /// Something is on its way back to the database that would stay there for long if the process
    /// ended now.
    fn has_unanswered(&self) -> bool {
        false
    }
    /// Why the database cannot be asked.
    fn trouble(&self) -> Error;
    /// Waits for the next reports and does what is due by the clock. Cancel-safe.
    fn recv(&mut self, reports: &mut Vec<Report>) -> impl Future<Output = ()> + Send;
    /// Lets go of everything and disconnects.
    fn shutdown(self) -> impl Future<Output = ()> + Send;
}

/// What was handed over, and for how long.
pub(crate) struct HandedOver {
    pub(crate) fence: Option<u64>,
    pub(crate) ttl: Duration,
}

/// What a caller wants to take over.
#[cfg_attr(
    not(feature = "_database"),
    expect(dead_code, reason = "there are no leases without a database")
)]
pub(crate) struct Adopted {
    pub(crate) lock_id: LockId,
    pub(crate) owner: Arc<str>,
    pub(crate) fence: Option<u64>,
    pub(crate) options: LockOptions,
    pub(crate) request: RequestId,
    pub(crate) refused: oneshot::Sender<Error>,
}

/// Whether the database answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// It has.
    Heard,
    /// It has yet to.
    Unknown,
    /// It could not be reached.
    Failed,
}

/// The way back to whoever asked.
pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What an executor has to tell the table; the reason goes with a loss.
#[derive(Debug)]
pub struct Report {
    /// What has happened.
    pub event: Event<LockId>,
    /// Why something is lost by it.
    pub reason: LostReason,
}

impl From<Event<LockId>> for Report {
    fn from(event: Event<LockId>) -> Self {
        Report { event, reason: LostReason::SessionEnded }
    }
}

impl Shareable for LockId {
    fn is_shareable(&self) -> bool {
        self.mode.is_compatible_with(self.mode)
    }
}
