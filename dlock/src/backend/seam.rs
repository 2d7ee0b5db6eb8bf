//! What a database must be able to do whose locks belong to a session: a trait for each subject, so that each is
//! implemented where that is.

use std::future::Future;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::Finding;
use crate::status::holder::Holder;
#[cfg(any(feature = "mssql", feature = "oracle"))]
use crate::status::holder::foreign;

/// A database with a lock primitive of its own, whose locks belong to a session.
pub(crate) trait SessionBackend: SessionWaits + SessionViews {}

impl<B: SessionWaits + SessionViews> SessionBackend for B {}

/// Sessions, and the locks that they have.
pub(crate) trait SessionLocks: Send + Sync + 'static {
    /// A connection.
    type Session: Send;

    /// The database and its address, for messages.
    fn label(&self) -> &str;

    /// For how long the server lets a silent session keep its locks; `None` if sessions of it
    /// cannot be lost.
    fn session_ttl(&self) -> Option<Duration>;

    /// How long a session that holds something may be silent before it is asked for a sign of life.
    fn heartbeat(&self) -> Duration {
        self.session_ttl().map_or(Duration::MAX, |ttl| ttl / 3)
    }

    /// The locks it has.
    fn modes(&self) -> &'static [Mode];

    /// The setting of the server that limits how many locks there may be, if it has one.
    fn locks_setting(&self) -> Option<&'static str> {
        None
    }

    /// Makes sure, once and before the first session, that sessions can be had here: that there is
    /// no transaction pooler between.
    fn preflight(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Connects, sets the session's limits, and makes sure that its locks exclude anybody.
    fn open(&self) -> impl Future<Output = Result<Self::Session>> + Send;

    /// What other sessions call this one by, in [`Op::Cancel`] and [`Op::End`].
    fn tag(&self, session: &Self::Session) -> SessionTag;

    /// How many connections the server had left for clients when this session was opened, if it is
    /// known.
    fn connections_left(&self, _: &Self::Session) -> Option<i64> {
        None
    }

    /// Does all of these in one round trip; one answer for each goes to `out`. Either all of them are
    /// orders to other sessions, or none is.
    fn batch(
        &self,
        session: &mut Self::Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Whether a write on it may wait for another server: then others' locks must not depend on it.
    fn writes_wait(&self, _: &mut Self::Session) -> impl Future<Output = Result<bool>> + Send {
        async { Ok(false) }
    }

    /// Returns `true` if the session can go on after this error: the server has refused, or others were in
    /// the way, and it is as it was.
    fn survives(&self, error: &Error) -> bool {
        #[cfg(feature = "_server")]
        if super::errors::Busy::is(error) {
            return true;
        }
        matches!(error, Error::Backend { .. } | Error::Permission { .. } | Error::Config { .. })
    }

    /// Which of these the session holds, read from the server.
    fn held(
        &self,
        session: &mut Self::Session,
        lock_ids: &[LockId],
    ) -> impl Future<Output = Result<Vec<bool>>> + Send;

    /// Ends when the session is dead, as far as that shows without a question. Cancel-safe.
    fn watch(&self, session: &mut Self::Session) -> impl Future<Output = Error> + Send;

    /// Disconnects; the server has let go of everything when it is done.
    fn close(&self, session: Self::Session) -> impl Future<Output = ()> + Send;
}

/// Waits of a session for a lock, or for another mode of one.
pub(crate) trait SessionWaits: SessionLocks {
    /// Waits for a key on a session that holds nothing. Unless it was granted in that time, nothing
    /// is held afterwards.
    fn wait(
        &self,
        session: &mut Self::Session,
        lock_id: &LockId,
        time: Duration,
    ) -> impl Future<Output = Result<Waited>> + Send;

    /// An error where a session cannot change how it holds a key from one mode to another without a
    /// gap in which others could have it.
    fn check_conversion(&self, from: Mode, to: Mode) -> Result<()> {
        Err(no_conversion(self.label(), from, to))
    }

    /// Changes how a session holds a key from the lock's mode to another one, waiting at most this
    /// long; zero is one try. When it is granted, one [`Op::Unlock`] with the new mode gives it back.
    /// Else, and after an error that the session [survives](SessionLocks::survives) or
    /// [`Error::Unsupported`], it is held as before. It is called again until it is granted or the
    /// caller's time is up: with zero where the session holds other keys.
    fn convert(
        &self,
        _: &mut Self::Session,
        held: &LockId,
        to: Mode,
        _: Duration,
    ) -> impl Future<Output = Result<Waited>> + Send {
        let refused = Err(no_conversion(self.label(), held.mode, to));
        async { refused }
    }

    /// The longest that a session which holds one lock waits to have that in another mode, before it
    /// hears what else is asked of it: also that its guard has gone.
    fn conversion_wait_max(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Returns `true` if an order from another session ends a wait ([`Op::Cancel`]). Where it does
    /// not, a wait that is not wanted any more ends with its connection.
    fn stops_waits(&self) -> bool {
        true
    }
}

/// What the server shows of locks, and of itself.
pub(crate) trait SessionViews: SessionLocks {
    /// Who holds and who waits, read from the server: of this key, or of all.
    fn status(
        &self,
        session: &mut Self::Session,
        of: Option<&NativeKey>,
    ) -> impl Future<Output = Result<Vec<LockView>>> + Send;

    /// Returns `true` if [`status`](Self::status) shows a lock of this key by the beginning of its name
    /// only, and that is what is shown.
    fn is_shown_cut(&self, _key: &NativeKey, _shown: &NativeKey) -> bool {
        false
    }

    /// Which of the server's sessions have these numbers now. One that is not to be seen is left out.
    fn tags(
        &self,
        session: &mut Self::Session,
        ids: &[i64],
    ) -> impl Future<Output = Result<Vec<SessionTag>>> + Send {
        // Where a number is not given to another session before the server starts anew.
        let birth = self.tag(session).birth;
        let tags = ids.iter().map(|id| SessionTag { id: *id, birth }).collect();
        async { Ok(tags) }
    }

    /// The rights that are needed to end sessions of others, and how to get them.
    fn right_to_end(&self) -> &'static str {
        "connect as the user that holds the lock"
    }

    /// What is wrong with the set-up, as far as a session can see it.
    fn check(
        &self,
        session: &mut Self::Session,
    ) -> impl Future<Output = Result<Vec<Finding>>> + Send;
}

/// Which session of the server it is. A number alone does not tell: after a restart, the server gives
/// it to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionTag {
    /// The number that the server shows.
    pub(crate) id: i64,
    /// What the server knows of when the session, or the server itself, began. An order about a
    /// session of another birth does nothing.
    pub(crate) birth: i64,
}

/// One part of a batch. The ticket is the engine's, for the answer.
#[derive(Debug, Clone)]
pub(crate) struct BatchItem {
    pub(crate) what: Op,
    pub(crate) ticket: u64,
}

/// What a batch is made of.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// Take the key if it is free.
    Try(LockId),
    /// The same, and draw a fencing token for it.
    TryFenced(LockId),
    /// Draw a fencing token for what the session holds. One that fails may cost the lock.
    Fence(LockId),
    /// Give the key back; the answer is whether it was held.
    Unlock(LockId),
    /// Stop what that session is doing; the answer is whether it was there.
    Cancel(SessionTag),
    /// End that session; the same.
    End(SessionTag),
}

impl Op {
    /// Whether it writes: then its answer may take as long as a disk, or a standby.
    pub(crate) fn is_written(&self) -> bool {
        matches!(self, Op::TryFenced(_) | Op::Fence(_))
    }

    /// What is to be taken, if anything is.
    pub(crate) fn tried(&self) -> Option<&LockId> {
        match self {
            Op::Try(lock_id) | Op::TryFenced(lock_id) => Some(lock_id),
            Op::Fence(_) | Op::Unlock(_) | Op::Cancel(_) | Op::End(_) => None,
        }
    }

    /// The lock that it is about, if it is about one.
    #[cfg(any(feature = "mssql", feature = "oracle"))]
    pub(crate) fn lock_id(&self) -> Option<&LockId> {
        match self {
            Op::Try(id) | Op::TryFenced(id) | Op::Fence(id) | Op::Unlock(id) => Some(id),
            Op::Cancel(_) | Op::End(_) => None,
        }
    }

    /// Returns `true` if it is about another session, and not about a lock.
    pub(crate) fn is_order(&self) -> bool {
        matches!(self, Op::Cancel(_) | Op::End(_))
    }
}

/// A batch as orders to other sessions, and as what is about locks; one of the two is empty.
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle"))]
pub(crate) fn orders_or_locks(ops: &[BatchItem]) -> (&[BatchItem], &[BatchItem]) {
    match ops {
        [first, ..] if first.what.is_order() => (ops, &[]),
        _ => (&[], ops),
    }
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    Granted,
    /// The time is over, or somebody has stopped the statement.
    Busy,
    /// The server has found the statement in a circle of waits, and has ended it.
    Deadlock,
}

impl From<bool> for Waited {
    fn from(granted: bool) -> Self {
        if granted { Waited::Granted } else { Waited::Busy }
    }
}

/// What became of one part of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is taken by others, was not held, was not there.
    No,
    Yes,
    /// Yes, and this is the token.
    Fence(u64),
}

impl From<bool> for Answer {
    fn from(yes: bool) -> Self {
        if yes { Answer::Yes } else { Answer::No }
    }
}

/// A lock as the server shows it.
#[derive(Debug)]
pub(crate) struct LockView {
    pub(crate) lock_id: LockId,
    pub(crate) holders: Vec<SessionView>,
    pub(crate) waiters: Vec<SessionView>,
}

#[cfg(feature = "_database")]
impl LockView {
    /// A lock of which no session has been seen yet.
    pub(crate) fn new(lock_id: LockId) -> Self {
        LockView { lock_id, holders: Vec::new(), waiters: Vec::new() }
    }
}

/// A session or a lease as the server shows it.
#[derive(Debug)]
pub(crate) struct SessionView {
    /// The session's number there, if that is to be seen.
    pub(crate) id: Option<i64>,
    /// The lease's owner as it is in the row, and its fence if it has one.
    #[cfg_attr(
        not(feature = "_database"),
        expect(dead_code, reason = "there are no leases without a database")
    )]
    pub(crate) lease: Option<(Box<str>, Option<u64>)>,
    pub(crate) holder: Holder,
}

impl SessionView {
    /// A session; `time`: how long it has held the lock, or waited for it.
    pub(crate) fn new(id: Option<i64>, who: impl Into<String>, time: Option<Duration>) -> Self {
        SessionView { id, lease: None, holder: Holder::new(who, time) }
    }

    /// The same where the server shows its number, the program, the user and the machine.
    #[cfg(any(feature = "mssql", feature = "oracle"))]
    pub(crate) fn of_program(
        (id, shown): (Option<i64>, Option<i64>),
        [program, user, machine]: [Option<&str>; 3],
        time: Option<Duration>,
    ) -> Self {
        let part = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(foreign);
        let program = part(program).map_or_else(String::new, |program| format!("{program}, "));
        let user = part(user).unwrap_or_else(|| "somebody".into());
        let machine = part(machine).map_or_else(String::new, |machine| format!("@{machine}"));
        let shown = shown.map_or_else(|| "?".into(), |shown| shown.to_string());
        SessionView::new(id, format!("{program}{user}{machine}, session {shown}"), time)
    }
}

/// The error of a change of mode that a database does not have.
pub(crate) fn no_conversion(backend: &str, from: Mode, to: Mode) -> Error {
    Error::Unsupported {
        backend: backend.into(),
        what: format!("change of a lock from {from} to {to} while it is held").into(),
        instead: format!(
            "it is still held ({from}): release it, take it as {to}, and read again what somebody \
             else may have changed in between"
        )
        .into(),
    }
}

/// A sign of life is a batch of nothing.
pub(crate) const PING: &[BatchItem] = &[];
