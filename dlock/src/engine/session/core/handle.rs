//! What the engine knows of one session.

mod due;
mod held_keys;
mod pace;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) use self::due::Due;
use self::held_keys::HeldKeys;
pub(super) use self::held_keys::KeyState;
pub(super) use self::pace::Pace;
pub(crate) use self::pace::ServerTraits;
use super::action::{Action, Job, Now, QuestionId, SessionId};
use super::gathered::reuse;
use super::roles::{Activity, SessionView};
use crate::backend::{BatchItem, Op, SessionTag};
use crate::clock::{Time, Validity};
use crate::engine::lock_table::Ticket;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// What a session was asked and has not answered yet.
pub(super) enum Sent {
    Batch(Arc<[BatchItem]>),
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

/// What is left of a session that has ended.
pub(super) struct Remains {
    /// What it was asked and has not answered.
    pub(super) sent: VecDeque<Sent>,
    /// What it was to be asked next.
    pub(super) batch: Vec<BatchItem>,
    pub(super) questions: Vec<QuestionId>,
    /// It held nothing, and had answered before, if only when it was opened.
    pub(super) was_empty: bool,
    pub(super) was_open: bool,
}

pub(super) struct SessionHandle {
    id: SessionId,
    pace: Pace,
    /// How the server calls it; `None` until it is connected.
    tag: Option<SessionTag>,
    sent: VecDeque<Sent>,
    /// What goes out next.
    batch: Vec<BatchItem>,
    questions: Vec<QuestionId>,
    conversions: Vec<Conversion>,
    keys: HeldKeys,
    /// Until when what it holds is surely held.
    validity: Arc<Validity>,
    /// When the last thing that the server has answered was sent.
    answered: Time,
    /// When it was asked what it has not answered yet.
    asked: Time,
    /// It has answered something since it was opened.
    has_answered: bool,
    /// When it last had something to do.
    since: Time,
    /// A cancel is on its way to it: until that is answered, nothing else is asked of it.
    cancelling: bool,
    cancel_at: Option<Instant>,
    /// How long connecting may take.
    patience: Duration,
}

impl SessionHandle {
    /// A session that is being connected, which may take as long as `patience`.
    pub(super) fn new(
        id: SessionId,
        validity: Arc<Validity>,
        pace: Pace,
        patience: Duration,
        now: Time,
    ) -> Self {
        SessionHandle {
            id,
            pace,
            tag: None,
            sent: VecDeque::new(),
            batch: Vec::new(),
            questions: Vec::new(),
            conversions: Vec::new(),
            keys: HeldKeys::new(pace.readers()),
            patience,
            validity,
            answered: now,
            asked: now,
            has_answered: false,
            since: now,
            cancelling: false,
            cancel_at: None,
        }
    }

    /// It is connected. The handshake is a sign of life.
    pub(super) fn opened(&mut self, tag: SessionTag, now: Time) {
        self.tag = Some(tag);
        (self.answered, self.asked, self.since) = (now, now, now);
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn tag(&self) -> Option<SessionTag> {
        self.tag
    }

    pub(super) fn is_open(&self) -> bool {
        self.tag.is_some()
    }

    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    pub(super) fn validity(&self) -> &Arc<Validity> {
        &self.validity
    }

    /// It is over with it: what it holds is lost, at once for all its guards.
    pub(super) fn into_remains(self) -> Remains {
        let (was_empty, was_open) = (self.holds_nothing(), self.is_open());
        let SessionHandle { sent, batch, questions, .. } = self;
        Remains { sent, batch, questions, was_empty, was_open }
    }
}

/// What it does.
impl SessionHandle {
    /// What its role goes by.
    pub(super) fn view(&self, id: SessionId, now: Now) -> SessionView {
        let load = self.keys.load(self.batch.is_empty());
        SessionView { id, activity: self.activity(now.time), load }
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
        match (now.since(self.asked) >= self.pace.silence(), writes) {
            (true, writes) => Activity::Silent { writes },
            (false, true) => Activity::Writing,
            (false, false) => Activity::Busy,
        }
    }

    /// It can be asked something now.
    pub(super) fn is_idle(&self) -> bool {
        self.tag.is_some() && self.sent.is_empty() && !self.cancelling
    }

    /// It is being asked a batch.
    pub(super) fn is_in_batch(&self) -> bool {
        matches!(self.sent.front(), Some(Sent::Batch(_)))
    }

    /// It waits, or its answer is late: it would not hear of its end.
    pub(super) fn is_deaf(&self, now: Now) -> bool {
        // A change of mode is soon over.
        let converts = matches!(self.sent.front(), Some(Sent::Conversion(..)));
        !converts && matches!(self.activity(now.time), Activity::Waiting | Activity::Silent { .. })
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
        self.is_idle() && self.holds_nothing() && self.batch.is_empty()
    }
}

/// What it holds.
impl SessionHandle {
    pub(super) fn holds_nothing(&self) -> bool {
        self.keys.granted() == 0
    }

    /// Locks without a token depend on it.
    pub(super) fn keeps_plain(&self) -> bool {
        self.keys.keeps_plain()
    }

    /// One of its locks goes to a holder who wants a token, or to one who wants none.
    pub(super) fn change_lock(&mut self, fenced: bool) {
        self.keys.change_lock(fenced);
    }

    /// How it stands to a key.
    pub(super) fn key_state(&self, lock_id: &LockId) -> KeyState {
        self.keys.state(lock_id)
    }

    /// The server has granted it this.
    pub(super) fn granted(&mut self, lock_id: &LockId) {
        self.keys.confirm(lock_id);
    }

    /// It was waited for on it, and is about to be [`granted`](Self::granted).
    pub(super) fn add_key(&mut self, lock_id: &LockId, fenced: bool) {
        self.keys.add(lock_id, fenced);
    }

    /// It has not got this, or will have given it back before it does anything else.
    pub(super) fn remove_key(&mut self, lock_id: &LockId, fenced: bool) {
        self.keys.remove(lock_id, fenced);
    }

    /// The server has taken one back.
    pub(super) fn released(&mut self) {
        self.keys.released();
    }

    pub(super) fn change_mode(&mut self, key: &NativeKey, mode: Mode) {
        self.keys.change_mode(key, mode);
    }

    /// Returns `true` if the server counts this key once for it, and nothing is to change that.
    pub(super) fn has_once(&self, key: &NativeKey) -> bool {
        self.keys.has_once(key)
    }

    /// The server has answered what was sent then. Returns `false` if that is too late for what it holds.
    pub(super) fn confirm(&mut self, sent: Time, now: Time) -> bool {
        if !self.holds_nothing() && !self.validity.is_valid_at(now) {
            return false;
        }
        if let Some(end) = self.pace.end_of(sent) {
            self.validity.extend(end);
        }
        (self.answered, self.asked) = (sent, now);
        self.has_answered = true;
        true
    }

    /// Enough of its validity remains to hand a lock to somebody.
    pub(super) fn is_fresh(&self, now: Time) -> bool {
        self.pace.is_enough(self.validity.remaining(now))
    }
}

/// What it is asked.
impl SessionHandle {
    /// Adds to what goes out next.
    pub(super) fn push(&mut self, item: BatchItem) {
        self.batch.push(item);
    }

    /// Adds a first question for a key.
    pub(super) fn push_try(&mut self, item: BatchItem) {
        if let Some(lock_id) = item.what.tried() {
            self.keys.try_key(lock_id, item.what.is_written());
        }
        self.batch.push(item);
    }

    pub(super) fn ask(&mut self, question: QuestionId) {
        self.questions.push(question);
    }

    pub(super) fn convert(&mut self, conversion: Conversion) {
        self.conversions.push(conversion);
    }

    /// Sends what has come together, if it can be asked something now.
    pub(super) fn send_batch(&mut self, now: Now, out: &mut Vec<Action>) {
        let has_nothing =
            self.batch.is_empty() && self.questions.is_empty() && self.conversions.is_empty();
        if has_nothing || !self.is_idle() {
            return;
        }
        for question in std::mem::take(&mut self.questions) {
            self.send(Job::Ask(question), Sent::Question, now, out);
        }
        // By themselves: an order that fails takes no try with it.
        let orders: Vec<BatchItem> = self.batch.extract_if(.., |op| op.what.is_order()).collect();
        self.send_locks(now, out);
        if !orders.is_empty() {
            let ops: Arc<[_]> = orders.into();
            let job = Job::Batch { ops: Arc::clone(&ops), again: false, careful: false };
            self.send(job, Sent::Batch(ops), now, out);
        }
        self.send_conversions(now, out);
    }

    /// Waits only where nothing else depends on the session.
    fn send_conversions(&mut self, now: Now, out: &mut Vec<Action>) {
        for conversion in std::mem::take(&mut self.conversions) {
            let alone = self.keys.granted() == 1 && self.sent.is_empty();
            let Conversion { lock_id, to, until, slice, .. } = &conversion;
            let time = if alone {
                self.pace.conversion((*until, *slice), now.clock)
            } else {
                Duration::ZERO
            };
            let job = Job::Convert { lock_id: lock_id.clone(), to: *to, time };
            self.send(job, Sent::Conversion(conversion, time), now, out);
        }
    }

    fn send_locks(&mut self, now: Now, out: &mut Vec<Action>) {
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
        let ops: Arc<[_]> = batch.drain(..).collect();
        reuse(batch, &mut self.batch);
        let again = self.keys.has_any_of(&ops);
        let job = Job::Batch { ops: Arc::clone(&ops), again, careful };
        self.send(job, Sent::Batch(ops), now, out);
    }

    /// Asks for a sign of life, if it is not to be asked something anyway.
    pub(super) fn ping(&mut self, now: Now, out: &mut Vec<Action>) {
        if self.is_idle() && self.batch.is_empty() {
            let nothing: Arc<[_]> = Arc::new([]);
            let job = Job::Batch { ops: Arc::clone(&nothing), again: false, careful: false };
            self.send(job, Sent::Batch(nothing), now, out);
        }
    }

    fn send(&mut self, job: Job, sent: Sent, now: Now, out: &mut Vec<Action>) {
        self.since = now.time;
        if self.sent.is_empty() {
            self.asked = now.time;
        }
        self.sent.push_back(sent);
        out.push(Action::Send { session: self.id, job });
    }

    /// Takes out what it has answered now.
    pub(super) fn take_sent(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    /// It has done something.
    pub(super) fn worked(&mut self, now: Time) {
        self.since = now;
    }
}

/// The key that it waits for.
impl SessionHandle {
    /// Has it wait for a key.
    pub(super) fn send_wait(&mut self, wait: KeyWait, now: Now, out: &mut Vec<Action>) {
        let time = self.pace.slice_until(&wait.lock_id, wait.until, now.clock);
        let job = Job::Wait { lock_id: wait.lock_id.clone(), time };
        self.send(job, Sent::Wait(wait), now, out);
    }

    /// The wait that it is in.
    pub(super) fn waiting(&self) -> Option<&KeyWait> {
        match self.sent.front() {
            Some(Sent::Wait(wait)) => Some(wait),
            _ => None,
        }
    }

    /// It waits for this ticket.
    pub(super) fn waits_for(&self, ticket: Ticket) -> bool {
        self.waiting().is_some_and(|wait| wait.ticket == ticket)
    }

    /// Nobody wants the key any more. Returns the wait if it is not being stopped yet.
    pub(super) fn wait_is_unwanted(&mut self) -> Option<&KeyWait> {
        let Some(Sent::Wait(wait)) = self.sent.front_mut() else { return None };
        // One that was to leave is being stopped already.
        if std::mem::take(&mut wait.leaves) { None } else { Some(wait) }
    }

    /// Orders that its wait be stopped; `leaves`: so that another key has the session.
    pub(super) fn stop_wait(&mut self, now: Time, leaves: bool) -> Option<BatchItem> {
        let tag = self.tag?;
        let Some(Sent::Wait(wait)) = self.sent.front_mut() else { return None };
        wait.leaves |= leaves;
        wait.stopped.get_or_insert(now);
        let ticket = wait.ticket;
        self.cancelling = true;
        Some(BatchItem { what: Op::Cancel(tag), ticket })
    }

    /// When its wait is stopped, if it has not ended by then.
    pub(super) fn cancel_at(&self) -> Option<Instant> {
        self.cancel_at
    }

    pub(super) fn stop_wait_at(&mut self, at: Instant) {
        self.cancel_at = Some(at);
    }

    /// Returns `true`, once, if its wait is to be stopped now.
    pub(super) fn take_late_cancel(&mut self, clock: Instant) -> bool {
        self.cancel_at.take_if(|at| *at <= clock).is_some()
    }

    /// The server has stopped what it was doing. The order may have come to the server before the wait: if
    /// that goes on, another one follows then.
    pub(super) fn cancelled(&mut self, again: Instant) {
        self.cancelling = false;
        self.cancel_at = self.waiting().map(|_| again);
    }

    /// Its wait has ended.
    pub(super) fn wait_ended(&mut self, now: Time) {
        self.since = now;
        self.cancel_at = None;
    }

    /// When its wait has had its turn, if it can be stopped then.
    pub(super) fn turn_ends(&self) -> Option<Instant> {
        let wait = self.waiting().filter(|wait| wait.stopped.is_none())?;
        Some(wait.turn_ends)
    }

    /// Its wait can leave to another key now.
    pub(super) fn can_leave(&self, clock: Instant) -> bool {
        !self.cancelling
            && self.cancel_at.is_none()
            && self.turn_ends().is_some_and(|ends| ends <= clock)
    }

    /// Takes its wait out: it is about to go.
    pub(super) fn take_wait(&mut self) -> Option<KeyWait> {
        self.waiting()?;
        match self.sent.pop_front() {
            Some(Sent::Wait(wait)) => Some(wait),
            _ => None,
        }
    }
}
