//! The engine of a locker for tests: it has no thread and no database, and decides at once, on the
//! thread of whoever asks. So a test whose clock is paused never waits for it, and its clock moves on
//! only to what is due here too.

mod clock;
mod due;
mod effects;
mod entry;
mod questions;
mod space;
mod ticker;

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use self::clock::TestClock;
pub(crate) use self::clock::test_clock;
use self::effects::Effects;
use self::space::Space;
use self::ticker::Ticker;
use super::delivery::TakeBack;
use super::grant::Grant;
use super::message::Message;
use crate::engine::call_clock::Watch;
use crate::error::{Error, Result};
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::testing::{Event, What};

/// Those there are.
static ALL: Mutex<Vec<Weak<Inline>>> = Mutex::new(Vec::new());

/// Lets all who wait go on without a lock, in each engine for tests: locking is switched off.
pub(super) fn let_all_pass() {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    let all: Vec<_> = all.iter().filter_map(Weak::upgrade).collect();
    for engine in all {
        engine.with(|space, _, effects| space.let_all_pass(effects));
    }
}

/// See the [module](self).
pub(crate) struct Inline {
    clock: Arc<TestClock>,
    space: Mutex<Space>,
    ticker: Arc<Ticker>,
    /// The way back for guards.
    engine: OnceLock<Weak<dyn TakeBack>>,
    me: Weak<Inline>,
}

impl Inline {
    pub(super) fn new() -> Arc<Self> {
        let clock = TestClock::new();
        let engine = Arc::new_cyclic(|me| Inline {
            space: Mutex::new(Space::new(clock.now(), Watch::of_test(clock.id))),
            clock,
            ticker: Arc::default(),
            engine: OnceLock::new(),
            me: me.clone(),
        });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|engine| engine.strong_count() > 0);
        all.push(Arc::downgrade(&engine));
        engine
    }

    /// Guards find their way back by this.
    pub(super) fn is_of(&self, id: u64, engine: Weak<dyn TakeBack>) {
        self.space.lock().unwrap_or_else(PoisonError::into_inner).engine = id;
        let _ = self.engine.set(engine);
    }

    /// The caller's time begins on the clock that it ends on.
    pub(super) fn watch(&self) -> Watch {
        ticker::follow(self);
        Watch::of_test(self.clock.id)
    }

    /// Takes a message in, and does what it says.
    pub(super) fn receive(&self, message: Message) -> Result<()> {
        ticker::follow(self);
        self.with(|space, now, effects| {
            if space.is_closed() {
                return Err(Error::Closed);
            }
            message.parts().for_each(|message| space.receive(message, now, effects));
            Ok(())
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.with(|space, _, _| !space.is_closed())
    }

    /// The error that the next call is to fail with, if it is to.
    pub(crate) fn planned_failure(&self) -> Option<Error> {
        self.with(|space, _, _| space.planned_failure())
    }

    /// The caller has this lock now.
    pub(crate) fn note_taken(&self, hold: &Grant) {
        self.note(What::Taken, &hold.key, hold.mode());
    }

    /// The caller does not get this lock.
    pub(crate) fn note_refused(&self, key: &Key, mode: Mode) {
        self.note(What::Refused, key, mode);
    }

    fn note(&self, what: What, key: &Key, mode: Mode) {
        self.with(|space, now, _| space.note(what, key, mode, now));
    }

    /// Says that a call blocks this thread, as long as that lives.
    pub(crate) fn blocks(&self) -> Blocks {
        self.ticker.block(self);
        Blocks(self.me.clone())
    }

    /// Somebody else has this key, or has it no more.
    pub(crate) fn set_busy(&self, native: &NativeKey, key: &Key, busy: bool) {
        self.with(|space, now, effects| space.set_busy(native, key, busy, now, effects));
    }

    /// Whoever holds this key loses it; returns how many that are.
    pub(crate) fn lose(&self, native: &NativeKey) -> usize {
        self.with(|space, now, effects| space.lose(native, now, effects))
    }

    pub(crate) fn fail_next(&self, error: Error) {
        self.with(|space, _, _| space.plan.failures.push_back(error));
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.with(|space, _, _| space.plan.delay = delay);
    }

    pub(crate) fn skip_waits(&self, skip: bool) {
        self.with(|space, _, _| space.plan.skips_waits = skip);
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.clock.advance(time);
        self.with(|_, _, _| ());
    }

    pub(crate) fn history(&self) -> Vec<Event> {
        self.with(|space, _, _| space.history.clone())
    }

    /// Does what is due; returns when the next thing is.
    fn tick(&self) -> Option<Instant> {
        self.act(|_, _, _| ()).1
    }

    fn with<R>(&self, act: impl FnOnce(&mut Space, Instant, &mut Effects) -> R) -> R {
        let (result, next) = self.act(act);
        self.ticker.set(next, self);
        result
    }

    fn act<R>(
        &self,
        act: impl FnOnce(&mut Space, Instant, &mut Effects) -> R,
    ) -> (R, Option<Instant>) {
        let mut effects = Effects::new();
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        space.tick(now, &mut effects);
        let result = act(&mut space, now, &mut effects);
        // It may have said that no time is to pass by waiting.
        self.clock.advance(std::mem::take(&mut space.plan.skipped));
        space.tick(self.clock.now(), &mut effects);
        let next = space.next();
        drop(space);
        // An answer that nobody takes comes back as a message.
        if let Some(engine) = self.engine.get() {
            effects.into_iter().for_each(|effect| effect(engine));
        }
        (result, next)
    }

    fn ticker_thread(&self) {
        ticker::start(self.me.clone(), Arc::clone(&self.ticker));
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        self.ticker.end();
    }
}

/// A call blocks its thread as long as this lives.
pub(crate) struct Blocks(Weak<Inline>);

impl Drop for Blocks {
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            engine.ticker.unblock(&engine);
        }
    }
}
