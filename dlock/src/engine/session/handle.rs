//! What the engine knows of one session.

mod due;
mod held_keys;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(super) use self::due::{Due, Pace};
use self::held_keys::HeldKey;
pub(super) use self::held_keys::KeyState;
use super::roles::{Activity, Load, SessionView};
use super::task::{Job, Question, SessionId};
use crate::backend::{BatchItem, Op, SessionTag};
use crate::clock::{Time, Validity};
use crate::engine::lock_table::Ticket;
use crate::engine::map::Map;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// How long an empty session that nobody needs is kept where sessions cannot be lost.
const KEPT: Duration = Duration::from_secs(30);

/// How long a server may take to answer what it need not wait for, unless locks are lost sooner.
const SILENCE: Duration = Duration::from_secs(3);
/// How long connecting may take at first; longer when that was not enough.
pub(super) const CONNECT_TIME_MIN: Duration = Duration::from_secs(5);

/// What a session was asked and has not answered yet.
pub(super) enum Sent {
    Batch(Arc<Vec<BatchItem>>),
    Wait(KeyWait),
    Question,
    /// With how long it can wait.
    Conversion(Conversion, Duration),
}

/// What is held, and is to be held in another mode.
pub(super) struct Conversion {
    pub(super) grant: Ticket,
    pub(super) lock_id: LockId,
    pub(super) to: Mode,
    /// When the caller's wait ends.
    pub(super) until: Option<Instant>,
    /// How long the session may wait, if it holds nothing else.
    pub(super) slice: Duration,
}

/// A key that is waited for on a session.
pub(super) struct KeyWait {
    pub(super) lock_id: LockId,
    pub(super) ticket: Ticket,
    pub(super) fenced: bool,
    pub(super) until: Option<Instant>,
    /// How often it has left a session to another key, without having been granted.
    pub(super) turns: u32,
    /// How long it is left alone between two tries, if the caller says so.
    pub(super) pause: Option<Duration>,
    /// When it has had its turn, if others have none.
    pub(super) turn_ends: Instant,
    /// It is to leave its session to another key.
    pub(super) leaves: bool,
    /// When it was told to stop.
    pub(super) stopped: Option<Time>,
}

pub(super) struct SessionHandle {
    jobs: mpsc::UnboundedSender<Job>,
    pub(super) task: AbortHandle,
    pace: Pace,
    /// How the server calls it; `None` until it is connected.
    pub(super) tag: Option<SessionTag>,
    pub(super) sent: VecDeque<Sent>,
    /// What goes out next.
    pub(super) batch: Vec<BatchItem>,
    pub(super) questions: Vec<Question>,
    pub(super) conversions: Vec<Conversion>,
    /// The keys that it holds or is asked for.
    keys: Map<NativeKey, HeldKey>,
    pub(super) holds: usize,
    /// How many locks it has or is asked for, without a fencing token and with one.
    locks: (usize, usize),
    /// It has been asked for any of them by a try.
    tried: bool,
    /// What it had last, as long as it has not given that back.
    had: Load,
    /// Until when what it holds is surely held.
    pub(super) validity: Arc<Validity>,
    /// When the last thing that the server has answered was sent.
    answered: Time,
    /// When it was asked what it has not answered yet.
    asked: Time,
    /// It has answered at least once, if only when it was opened.
    pub(super) confirmed: bool,
    /// It has answered something since it was opened.
    pub(super) has_answered: bool,
    /// When it last had something to do.
    pub(super) since: Time,
    /// A cancel is on its way to it: until that is answered, nothing else is asked of it.
    pub(super) cancelling: bool,
    pub(super) cancel_at: Option<Instant>,
    /// How long connecting may take.
    patience: Duration,
}

impl SessionHandle {
    /// `patience`: how long connecting may take.
    pub(super) fn new(
        jobs: mpsc::UnboundedSender<Job>,
        task: AbortHandle,
        validity: Arc<Validity>,
        pace: Pace,
        patience: Duration,
    ) -> Self {
        let now = Time::now();
        SessionHandle {
            jobs,
            task,
            pace,
            tag: None,
            sent: VecDeque::new(),
            batch: Vec::new(),
            questions: Vec::new(),
            conversions: Vec::new(),
            keys: Map::default(),
            holds: 0,
            locks: (0, 0),
            tried: false,
            had: Load::Nothing,
            patience,
            validity,
            answered: now,
            asked: now,
            confirmed: false,
            has_answered: false,
            since: now,
            cancelling: false,
            cancel_at: None,
        }
    }
}

impl SessionHandle {
    pub(super) fn opened(&mut self, tag: SessionTag) {
        let now = Time::now();
        self.tag = Some(tag);
        (self.answered, self.asked, self.since) = (now, now, now);
        // The handshake is a sign of life.
        self.confirmed = true;
    }

    /// What its role goes by.
    pub(super) fn view(&self, id: SessionId, now: Time) -> SessionView {
        SessionView { id, activity: self.activity(now), load: self.load() }
    }

    fn activity(&self, now: Time) -> Activity {
        let writes = match self.sent.front() {
            _ if self.tag.is_none() => return Activity::Connecting,
            _ if self.cancelling => return Activity::Waiting,
            None => return Activity::Idle,
            Some(Sent::Wait(_)) => return Activity::Waiting,
            // It is of no use until that is over, and is not to be given up for it.
            Some(Sent::Conversion(_, time)) if !time.is_zero() => {
                return Activity::Silent { writes: false };
            }
            Some(Sent::Batch(_) | Sent::Question | Sent::Conversion(..)) => {
                self.is_asked(|op| op.what.is_written())
            }
        };
        match (now.since(self.asked) >= self.pace.silence, writes) {
            (true, writes) => Activity::Silent { writes },
            (false, true) => Activity::Writing,
            (false, false) => Activity::Busy,
        }
    }

    fn load(&self) -> Load {
        match self.locks {
            (0, 0) if self.holds == 0 && self.batch.is_empty() => Load::Nothing,
            // On their way back.
            (0, 0) => self.had,
            (0, _) => Load::Fenced,
            _ if self.tried => Load::Tried,
            _ => Load::Waited,
        }
    }

    /// Locks without a token depend on it.
    pub(super) fn keeps_plain(&self) -> bool {
        self.locks.0 > 0
    }

    /// One of its locks goes to a holder who wants a token, or to one who wants none.
    pub(super) fn change_lock(&mut self, fenced: bool) {
        let (plain, tokens) = &mut self.locks;
        let (from, to) = if fenced { (plain, tokens) } else { (tokens, plain) };
        *from = from.saturating_sub(1);
        *to += 1;
        self.had = self.load();
    }

    /// The server has answered what was sent then. `false`: too late for what it holds.
    pub(super) fn confirm(&mut self, sent: Time) -> bool {
        let now = Time::now();
        if self.holds > 0 && !self.validity.is_valid_at(now) {
            return false;
        }
        if let Some(ttl) = self.pace.ttl {
            self.validity.extend(sent.after(ttl));
        }
        self.answered = sent;
        self.asked = now;
        self.confirmed = true;
        self.has_answered = true;
        true
    }

    /// Enough of its validity remains to hand a lock to somebody.
    pub(super) fn is_fresh(&self) -> bool {
        self.pace.ttl.is_none_or(|ttl| self.validity.remaining(Time::now()) >= ttl / 2)
    }

    /// It can be asked something now.
    pub(super) fn is_idle(&self) -> bool {
        self.tag.is_some() && self.sent.is_empty() && !self.cancelling
    }

    /// It waits, or its answer is late: it would not hear of its end.
    pub(super) fn is_deaf(&self) -> bool {
        // A change of mode is soon over.
        let converts = matches!(self.sent.front(), Some(Sent::Conversion(..)));
        !converts
            && matches!(self.activity(Time::now()), Activity::Waiting | Activity::Silent { .. })
    }

    /// It is being asked something of this kind, or will be.
    pub(super) fn is_asked(&self, kind: impl Fn(&BatchItem) -> bool) -> bool {
        let sent = self.sent.iter().filter_map(|sent| match sent {
            Sent::Batch(ops) => Some(ops.iter()),
            Sent::Wait(_) | Sent::Question | Sent::Conversion(..) => None,
        });
        sent.flatten().chain(&self.batch).any(kind)
    }

    /// It holds nothing and is asked nothing.
    pub(super) fn is_free(&self) -> bool {
        self.is_idle() && self.holds == 0 && self.batch.is_empty()
    }

    /// Sends what has come together, if it can be asked something now.
    pub(super) fn send_batch(&mut self) {
        if !self.is_idle() {
            return;
        }
        for question in std::mem::take(&mut self.questions) {
            self.send(Job::Ask(question), Sent::Question);
        }
        // By themselves: an order that fails takes no try with it.
        let orders: Vec<BatchItem> = self.batch.extract_if(.., |op| op.what.is_order()).collect();
        self.send_locks();
        if !orders.is_empty() {
            let ops = Arc::new(orders);
            let job = Job::Batch { ops: Arc::clone(&ops), again: false, careful: false };
            self.send(job, Sent::Batch(ops));
        }
        self.send_conversions();
    }

    /// Waits only where nothing else depends on the session.
    fn send_conversions(&mut self) {
        for conversion in std::mem::take(&mut self.conversions) {
            let alone = self.holds == 1 && self.sent.is_empty();
            let time = if alone { self.pace.conversion(&conversion) } else { Duration::ZERO };
            let Conversion { lock_id, to, .. } = &conversion;
            let job = Job::Convert { lock_id: lock_id.clone(), to: *to, time };
            self.send(job, Sent::Conversion(conversion, time));
        }
    }

    fn send_locks(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let is_fenced = |op: &BatchItem| matches!(op.what, Op::TryFenced(_));
        let careful = self.keeps_plain() && batch.iter().any(is_fenced);
        if careful && !batch.iter().all(is_fenced) {
            // What others wait for does not wait for a write.
            (self.batch, batch) = batch.into_iter().partition(is_fenced);
        }
        let careful = careful && self.batch.is_empty();
        let ops = Arc::new(batch);
        let again = self.has_any_of(&ops);
        self.send(Job::Batch { ops: Arc::clone(&ops), again, careful }, Sent::Batch(ops));
    }

    /// Has it wait for a key.
    pub(super) fn send_wait(&mut self, wait: KeyWait) {
        let time = self.pace.slice_until(&wait.lock_id, wait.until);
        self.send(Job::Wait { lock_id: wait.lock_id.clone(), time }, Sent::Wait(wait));
    }

    /// The wait that it is in.
    pub(super) fn waiting(&self) -> Option<&KeyWait> {
        match self.sent.front() {
            Some(Sent::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(super) fn waiting_mut(&mut self) -> Option<&mut KeyWait> {
        match self.sent.front_mut() {
            Some(Sent::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// Orders that its wait be stopped; `leaves`: so that another key has the session.
    pub(super) fn stop_wait(&mut self, now: Time, leaves: bool) -> Option<BatchItem> {
        let tag = self.tag?;
        let wait = self.waiting_mut()?;
        wait.leaves |= leaves;
        wait.stopped.get_or_insert(now);
        let ticket = wait.ticket;
        self.cancelling = true;
        Some(BatchItem { what: Op::Cancel(tag), ticket })
    }

    /// It waits for this ticket.
    pub(super) fn waits_for(&self, ticket: Ticket) -> bool {
        self.waiting().is_some_and(|wait| wait.ticket == ticket)
    }

    /// Asks for a sign of life, if it is not to be asked something anyway.
    pub(super) fn ping(&mut self) {
        if self.is_idle() && self.batch.is_empty() {
            let nothing = Arc::new(Vec::new());
            let job = Job::Batch { ops: Arc::clone(&nothing), again: false, careful: false };
            self.send(job, Sent::Batch(nothing));
        }
    }

    pub(super) fn close(&self) {
        // A task that has ended needs no order to.
        let _ = self.jobs.send(Job::Close);
    }

    fn send(&mut self, job: Job, sent: Sent) {
        self.since = Time::now();
        if self.sent.is_empty() {
            self.asked = self.since;
        }
        self.sent.push_back(sent);
        // A task that has ended has said so, and that will be heard.
        let _ = self.jobs.send(job);
    }
}
