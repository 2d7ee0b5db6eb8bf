//! One grant, as its guard and the engine both see it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

#[cfg(feature = "test-util")]
use super::call_clock::TestTime;
use super::callbacks::OnLost;
use super::lock_table::GrantId;
use crate::clock::{Time, Validity};
use crate::error::{Error, Result};
use crate::observe::{Label, ObservedGrant, Telemetry};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::lost::{LostInfo, LostReason};

/// The fencing token of a lock that is none. A higher one, once it is stored, would shut out all
/// that are drawn later.
const FENCE_WHILE_OFF: u64 = 0;

/// One grant.
pub struct Grant {
    pub(crate) id: GrantId,
    /// Whose grant it is.
    pub(crate) engine: u64,
    pub(crate) key: Key,
    native: NativeKey,
    /// The key that this is a permit of.
    family: Option<Box<NativeKey>>,
    /// The place in [`Mode::ALL`] of how it is held.
    mode: AtomicUsize,
    pub(crate) since: Time,
    /// Its time by the clock of a locker for tests, where it is one's.
    #[cfg(feature = "test-util")]
    test_time: Option<TestTime>,
    pub(crate) fence: Option<u64>,
    /// How many guards there are of it: more than one where a body under it has taken it again.
    guards: AtomicUsize,
    /// A caller has it. A grant that arrives nowhere, or that a call takes and does not keep, has no
    /// holder, and no holder's options: others may have it at once.
    taken: AtomicBool,
    /// Nobody else gets the lock before so many nanoseconds have passed since it was granted.
    min_hold: AtomicU64,
    /// On what options it was taken first.
    options: LockOptions,
    validity: Arc<Validity>,
    /// How it is lost when the validity ends.
    lapse: LostReason,
    on_lost: OnceLock<OnLost>,
    /// The callback is called, or will be.
    told: AtomicBool,
    /// Of those who have taken it again under itself, as long as they have it.
    inner: Mutex<Vec<(u64, OnLost)>>,
    /// Set when the guard has gone: from then on its code does not run under the lock.
    without_guards: AtomicBool,
    lost: OnceLock<LostInfo>,
    /// Set when it is over; whether the database, or who has the lock next, has confirmed that.
    released: OnceLock<bool>,
    changed: Notify,
    /// Set when a caller has it: what is told of it.
    observed: OnceLock<ObservedGrant>,
    /// When it has been held for longer than it should be, by the engine's clock.
    long_at: Option<Instant>,
}

/// What a caller has asked for, as far as its grant is concerned.
pub(crate) struct GrantTerms {
    pub(crate) key: Key,
    pub(crate) lock_id: LockId,
    /// The key of all permits, of which this is one.
    pub(crate) family: Option<Box<NativeKey>>,
    pub(crate) options: LockOptions,
    pub(crate) on_lost: Option<OnLost>,
}

/// How a key is held in the database.
#[derive(Debug)]
pub struct GrantInfo {
    /// Until when it is surely held.
    pub validity: Arc<Validity>,
    /// Enough of the validity remains to hand the lock to somebody.
    pub fresh: bool,
    /// Its fencing token.
    pub fence: Option<u64>,
    /// When the database granted it to this process.
    pub since: Time,
    /// How it is lost when the validity ends.
    pub lapse: LostReason,
}

impl Grant {
    /// The grant of what a caller has asked for.
    pub(crate) fn new(id: GrantId, engine: u64, terms: GrantTerms, held: GrantInfo) -> Self {
        let GrantTerms { key, lock_id, family, options, on_lost } = terms;
        Grant {
            id,
            engine,
            native: lock_id.key,
            // Of several at once, none is the latest.
            fence: held.fence.filter(|_| family.is_none()),
            family,
            min_hold: AtomicU64::new(nanos(options.min_hold)),
            options,
            lapse: held.lapse,
            on_lost: on_lost.map(OnceLock::from).unwrap_or_default(),
            ..Grant::of(key, lock_id.mode, held.validity)
        }
    }

    /// A grant by nobody: locking is switched off.
    pub(crate) fn unlocked(key: Key, mode: Mode) -> Self {
        Grant::of(key, mode, Arc::new(Validity::endless()))
    }

    fn of(key: Key, mode: Mode, validity: Arc<Validity>) -> Self {
        Grant {
            id: 0,
            engine: 0,
            native: NativeKey::Id(0),
            family: None,
            mode: AtomicUsize::new(place(mode)),
            key,
            since: Time::now(),
            #[cfg(feature = "test-util")]
            test_time: None,
            fence: None,
            guards: AtomicUsize::new(1),
            taken: AtomicBool::new(false),
            min_hold: AtomicU64::new(0),
            options: LockOptions::default(),
            validity,
            lapse: LostReason::Unconfirmed,
            on_lost: OnceLock::new(),
            told: AtomicBool::new(false),
            inner: Mutex::default(),
            without_guards: AtomicBool::new(false),
            lost: OnceLock::new(),
            released: OnceLock::new(),
            changed: Notify::new(),
            observed: OnceLock::new(),
            long_at: None,
        }
    }

    /// The same where a token may be expected: then it has one that is lower than all that are drawn.
    pub(crate) fn while_off(key: Key, mode: Mode, fenced: bool) -> Self {
        Grant { fence: fenced.then_some(FENCE_WHILE_OFF), ..Grant::unlocked(key, mode) }
    }

    /// The same, to be held no longer than this.
    pub(super) fn held_at_most(self, time: Option<Duration>) -> Self {
        let long_at = time.and_then(|time| Instant::now().checked_add(time));
        Grant { long_at, ..self }
    }

    /// The same, by the clock of a locker for tests.
    #[cfg(feature = "test-util")]
    pub(super) fn timed_by(self, time: TestTime) -> Self {
        Grant { test_time: Some(time), ..self }
    }

    /// How long ago it was granted.
    pub(crate) fn held_for(&self) -> Duration {
        #[cfg(feature = "test-util")]
        if let Some(time) = self.test_time {
            return time.elapsed();
        }
        self.since.elapsed()
    }

    /// When it has been held for longer than it should be.
    pub(super) fn long_at(&self) -> Option<Instant> {
        self.long_at
    }

    /// What the database calls it.
    pub(crate) fn native(&self) -> &NativeKey {
        &self.native
    }

    /// Whether it is lost, by what the engine knows and by the clock.
    pub(crate) fn is_lost(&self) -> bool {
        if self.lost.get().is_some() {
            return true;
        }
        if self.validity.is_valid_at(Time::now()) || self.released.get().is_some() {
            return false;
        }
        self.lose(self.lapse);
        true
    }

    /// How it is held.
    pub(crate) fn mode(&self) -> Mode {
        Mode::ALL.get(self.mode.load(Ordering::Acquire)).copied().unwrap_or_default()
    }

    /// It is held in this mode from now on.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.store(place(mode), Ordering::Release);
        self.observed.get().into_iter().for_each(|observed| observed.converted(&self.key, mode));
    }

    /// Whether this is the only guard of it.
    pub(crate) fn has_one_guard(&self) -> bool {
        self.guards.load(Ordering::Acquire) == 1
    }

    /// How long it counts as held without another answer of the server.
    pub(crate) fn valid_for(&self) -> Duration {
        if self.is_lost() {
            return Duration::ZERO;
        }
        #[cfg(feature = "test-util")]
        if let Some(time) = self.test_time {
            return time.remaining();
        }
        self.validity.remaining(Time::now())
    }

    pub(crate) fn lost_info(&self) -> Option<&LostInfo> {
        self.lost.get()
    }

    /// Marks it as lost, once, and has that told.
    pub(crate) fn lose(&self, reason: LostReason) {
        if self.mark_lost(reason) {
            self.tell_loss();
        }
    }

    /// Marks it as lost; whether it was not yet. If so, [`tell_loss`](Self::tell_loss) follows,
    /// when others that are lost with it are marked too.
    pub(super) fn mark_lost(&self, reason: LostReason) -> bool {
        // What ended the session counts, not how that was noticed here.
        let reason = self.validity.ended().unwrap_or(reason);
        let held_for = self.held_for();
        let first = self.lost.set(LostInfo { key: self.key.clone(), reason, held_for }).is_ok();
        if first {
            self.mark_released();
        }
        first
    }

    /// Tells whoever observes it, and the callback.
    pub(super) fn tell_loss(&self) {
        let Some(info) = self.lost.get() else { return };
        if let Some(observed) = self.observed.get() {
            observed.lost(info, self.is_without_guards());
        }
        self.call_back(info);
    }

    /// A caller has it now, after this wait, on the thread and in the span of this call. One that has had
    /// it already, and takes it again under itself, changes nothing.
    pub(crate) fn observe(&self, telemetry: &Arc<Telemetry>, label: &Label, waited: Duration) {
        let new = ObservedGrant::new(Arc::clone(telemetry), label.clone(), self.mode());
        if self.observed.set(new).is_err() {
            return;
        }
        let Some(observed) = self.observed.get() else { return };
        observed.acquired(&self.key, waited);
        if let Some(info) = self.lost.get() {
            observed.lost(info, false);
        }
    }

    /// Its guard has gone, and knows how that ended.
    pub(crate) fn tell_end(&self) {
        let Some(observed) = self.observed.get() else { return };
        // What failed has been told when it did.
        if self.lost.get().is_none() && self.released.get() != Some(&false) {
            observed.released(&self.key, self.held_for());
        }
        observed.leave_span();
    }

    /// It is still held, for longer than it should be.
    pub(super) fn tell_long(&self) {
        if let Some(observed) = self.observed.get()
            && !self.is_without_guards()
            && self.lost.get().is_none()
        {
            observed.held_long(&self.key, self.held_for());
        }
    }

    /// In the child of a fork: it is the parent's.
    pub(crate) fn disown(&self) {
        self.observed.get().into_iter().for_each(ObservedGrant::disown);
    }

    fn call_back(&self, info: &LostInfo) {
        if let Some(callback) = self.on_lost.get()
            && !self.told.swap(true, Ordering::AcqRel)
        {
            callback.call(info.clone());
        }
        for (_, callback) in std::mem::take(&mut *self.inner()) {
            callback.call(info.clone());
        }
    }

    /// Has this called as well if it is lost, until [`tell_no_more`](Grant::tell_no_more).
    pub(crate) fn tell_too(&self, callback: OnLost) -> u64 {
        let mut inner = self.inner();
        let id = inner.last().map_or(0, |(last, _)| last + 1);
        inner.push((id, callback));
        drop(inner);
        if let Some(info) = self.lost.get() {
            self.call_back(info);
        }
        id
    }

    /// One that was lost before is told of that.
    pub(crate) fn tell_no_more(&self, id: u64) {
        let mut inner = self.inner();
        let place = inner.iter().position(|(other, _)| *other == id);
        let gone = place.map(|place| inner.remove(place));
        drop(inner);
        if let (Some((_, callback)), Some(info)) = (gone, self.lost.get()) {
            callback.call(info.clone());
        }
    }

    fn inner(&self) -> MutexGuard<'_, Vec<(u64, OnLost)>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On what options it was taken first.
    pub(crate) fn options(&self) -> &LockOptions {
        &self.options
    }

    /// How long after its grant nobody else has it yet.
    pub(in crate::engine) fn min_hold(&self) -> Duration {
        Duration::from_nanos(self.min_hold.load(Ordering::Acquire))
    }

    /// Nobody else has it before this time has passed from now. Returns `true` if that is longer than
    /// it was.
    pub(crate) fn keep_for(&self, time: Duration) -> bool {
        let until = nanos(self.held_for().saturating_add(time));
        !time.is_zero() && self.min_hold.fetch_max(until, Ordering::AcqRel) < until
    }

    /// Whether it is to be done once in a period.
    pub(crate) fn is_once(&self) -> bool {
        self.options.once_per.is_some()
    }

    /// What was to be done once in a period is done: nobody else has it before that is over.
    pub(crate) fn complete(&self) {
        if let Some(period) = self.options.once_per {
            self.min_hold.fetch_max(nanos(period), Ordering::AcqRel);
        }
    }

    /// From now on, this is called once if it is lost; if it is lost already, now.
    pub(crate) fn tell_of_loss(&self, callback: OnLost) {
        let _ = self.on_lost.set(callback);
        if let Some(info) = self.lost.get() {
            self.call_back(info);
        }
    }

    /// Whether this is the grant of the key, or of a permit of it.
    pub(crate) fn is_of(&self, key: &NativeKey) -> bool {
        self.family.as_deref().unwrap_or(&self.native) == key
    }

    /// Whether others may hold the same key.
    pub(crate) fn is_permit(&self) -> bool {
        self.family.is_some()
    }

    /// The caller has it now.
    /// Returns `true` if nobody had.
    pub(crate) fn mark_taken(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Whether a caller has had it.
    #[cfg(feature = "test-util")]
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }

    /// How long nobody else may have it yet, whatever becomes of its holder.
    pub(super) fn min_hold_left(&self) -> Duration {
        if self.min_hold().is_zero() || !self.taken.load(Ordering::Acquire) {
            return Duration::ZERO;
        }
        // What the end of a session has freed cannot be kept.
        if self.lost.get().is_some_and(|info| info.reason != LostReason::Closed) {
            return Duration::ZERO;
        }
        self.min_hold().saturating_sub(self.held_for())
    }

    /// One more guard, if there is one yet.
    pub(crate) fn share(&self) -> bool {
        let one_more = |guards: usize| if guards == 0 { None } else { guards.checked_add(1) };
        self.guards.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// A guard has gone; whether it was the last.
    pub(crate) fn remove_guard(&self) -> bool {
        let last = self.guards.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.without_guards.store(true, Ordering::Release);
        }
        last
    }

    /// Whether its guard has gone.
    pub(crate) fn is_without_guards(&self) -> bool {
        self.without_guards.load(Ordering::Acquire)
    }

    /// The lock is free again.
    pub(crate) fn mark_released(&self) {
        self.mark(true);
    }

    /// It was let go, and whether the lock is free again nobody will know.
    pub(crate) fn mark_unconfirmed(&self) {
        self.mark(false);
    }

    fn mark(&self, confirmed: bool) {
        let first = self.released.set(confirmed).is_ok();
        if first
            && !confirmed
            && self.lost.get().is_none()
            && let Some(observed) = self.observed.get()
        {
            observed.release_failed(&self.key, self.held_for());
        }
        self.changed.notify_waiters();
    }

    /// Ends when the lock is free again, with the loss when there was one.
    pub(crate) async fn released(&self) -> Result<()> {
        let confirmed = *self.until(|| self.released.get()).await;
        match self.lost.get() {
            Some(info) => Err(info.clone().into()),
            None if confirmed => Ok(()),
            None => Err(Error::Closed),
        }
    }

    /// Ends when the lock is lost, never when it is released.
    pub(crate) fn lost(self: &Arc<Self>) -> impl Future<Output = LostInfo> + Send + use<> {
        let hold = Arc::clone(self);
        async move { hold.until(|| hold.lost.get()).await.clone() }
    }

    async fn until<'a, T: 'a>(&self, state: impl Fn() -> Option<&'a T>) -> &'a T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Registered before the look, so that no change falls between the two.
            changed.as_mut().enable();
            if let Some(state) = state() {
                return state;
            }
            changed.await;
        }
    }
}

fn place(mode: Mode) -> usize {
    Mode::ALL.iter().position(|other| *other == mode).unwrap_or_default()
}

/// 584 years fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant")
            .field("key", &self.key)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
