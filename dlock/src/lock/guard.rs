//! Guard: the lock is held while it lives.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::blocking::block_for;
use crate::engine::lock_table::GrantId;
use crate::engine::{Conversion, Delivery, Engine, Grant, Grants, Message, OnLost};
use crate::error::{Error, Result};
use crate::lock::join::join_all;
use crate::lock::scope::{self, AnyGuard};
use crate::observe::Label;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::wait::Wait;
use crate::status::lost::{LostInfo, LostReason};

/// A release that takes longer than this is not worth a blocked thread.
pub(crate) const LONGEST_RELEASE: Duration = Duration::from_secs(60);

/// How long a call that has failed waits until what it held in part is released: the server has
/// just answered.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(1);
/// The same after a server that has not answered.
const DISCARD_TIME_MIN: Duration = Duration::from_millis(250);

/// Releases what a call has got before it failed with this error, so that nothing is held when the
/// caller learns of that; in bounded time, for the server may not answer.
pub(crate) async fn discard(engine: &Engine, guards: Vec<Guard>, failed: &Error) {
    if guards.is_empty() {
        return;
    }
    let answers = !matches!(failed, Error::Unavailable { .. });
    let time = if answers { DISCARD_TIME_MAX } else { DISCARD_TIME_MIN };
    let all = join_all(Some(engine), guards.into_iter().map(Guard::release));
    tokio::select! {
        biased;
        _ = all => {}
        // What was begun goes on. An engine that has ended holds nothing.
        _ = engine.sleep(time) => {}
    }
}

/// The lock is held while this lives.
///
/// Dropping it hands the release to the engine: no block, no panic, no await, on any thread, with
/// or without a runtime; the lock is free milliseconds later. (The one exception: where it is the
/// last that was left of its locker, outside of a runtime, the drop waits for that, a second at
/// most: see [`Locker`](crate::Locker#the-end-of-a-program).) [`Guard::release`] also waits for the
/// server's confirmation and tells whether the lock was held until then.
///
/// A lock can be lost while it is held: the server restarts, the network is cut, the process is
/// frozen. [`Guard::is_lost`], [`Guard::lost`] and [`Guard::protect`] are how that is noticed.
#[must_use = "the lock is released at once when the guard is not kept: bind it to a name, as in \
              `let _guard = …` (`let _ = …` drops it at once), or use `run`"]
#[clippy::has_significant_drop]
pub struct Guard {
    hold: Arc<Grant>,
    /// `None`: nothing is to be released.
    engine: Option<Engine>,
    /// The callback of this guard, where others share the grant.
    inner: Option<InnerCallback>,
    /// How long the lock that it is of waits.
    wait: Wait,
}

/// It is called no more when the guard has gone.
struct InnerCallback {
    hold: Arc<Grant>,
    id: u64,
}

impl Drop for InnerCallback {
    fn drop(&mut self) {
        self.hold.tell_no_more(self.id);
    }
}

impl Guard {
    /// The guard of what has arrived.
    pub(crate) fn of(delivery: Delivery, engine: &Engine) -> Result<Self> {
        let (hold, engine) = delivery.accept(engine).ok_or(Error::Closed)?;
        Ok(Guard::new(hold, engine))
    }

    pub(crate) fn new(hold: Arc<Grant>, engine: Option<Engine>) -> Self {
        Guard { hold, engine, inner: None, wait: Wait::DEFAULT }
    }

    /// The same with the wait of the lock that it is of.
    pub(crate) fn with_wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Has this called if the lock is lost while this guard is there, one of several of its grant.
    pub(crate) fn tell_too(&mut self, callback: OnLost) {
        let id = self.hold.tell_too(callback);
        self.inner = Some(InnerCallback { hold: Arc::clone(&self.hold), id });
    }

    /// A guard of nothing: locking is switched off. `fenced`: a token is expected.
    pub(crate) fn while_off(key: Key, mode: Mode, fenced: bool) -> Self {
        Guard::new(Arc::new(Grant::while_off(key, mode, fenced)), None)
    }

    /// What is locked.
    pub fn key(&self) -> &Key {
        &self.hold.key
    }

    /// How it is locked.
    pub fn mode(&self) -> Mode {
        self.hold.mode()
    }

    /// Makes a shared or an update lock exclusive, without giving it up in between: nobody else has it
    /// exclusively before, so what was read under it is still true. SQL Server and Oracle have this.
    ///
    /// It waits for all others who share the lock, in other processes and in this one, as long as the
    /// lock's own [`timeout`](crate::Lock::timeout) says. Take [`Mode::Update`] to read with the plan
    /// to write: only one has that at a time. Two who hold the lock as [`Mode::Shared`] and both want it
    /// alone wait for each other.
    ///
    /// A connection that holds other keys cannot wait in the server: then the server is asked again and
    /// again, others who come to share the lock meanwhile get it first, and it sees no deadlock. After a
    /// change of its mode a lock is no longer shared with, nor handed on to, other tasks of this process
    /// without asking the server.
    ///
    /// # Errors
    /// The lock is held in its old mode after each of these but [`Error::Lost`]:
    /// [`Error::Timeout`] when others still share it as the wait ends, [`Error::Deadlock`] when another
    /// holder waits for this one in the same way, [`Error::Unsupported`] on a database that has no such
    /// change, [`Error::Config`] while other guards share this grant (it was taken again under itself)
    /// and for one of several [`permits`](crate::Lock::permits), [`Error::Unavailable`] when the server
    /// does not answer: then [`mode`](Guard::mode) may change a moment later.
    ///
    /// # Cancel safety
    /// The lock stays held. If the server makes the change all the same, [`mode`](Guard::mode) says so.
    pub async fn upgrade(&mut self) -> Result<()> {
        self.convert(Mode::Exclusive).await
    }

    /// Makes an exclusive lock shared, without giving it up in between: others may read what was written
    /// under it, and nobody has changed that before. Oracle has this. SQL Server holds a lock in its
    /// strongest mode until the last release, so there it is [`Error::Unsupported`].
    ///
    /// # Errors
    /// As [`upgrade`](Guard::upgrade).
    ///
    /// # Cancel safety
    /// As [`upgrade`](Guard::upgrade).
    pub async fn downgrade(&mut self) -> Result<()> {
        self.convert(Mode::Shared).await
    }

    async fn convert(&self, to: Mode) -> Result<()> {
        self.not_lost()?;
        let Some(engine) = &self.engine else {
            // Locking is switched off.
            self.hold.set_mode(to);
            return Ok(());
        };
        if !engine.is_of_this_process() {
            return Err(Error::Closed);
        }
        let (reply, answer) = oneshot::channel();
        let wanted = Conversion { to, deadline: engine.deadline(self.wait), reply };
        let mut asking = AskingToConvert { engine, hold: Some(self.hold.id) };
        if engine.send(Message::Convert { hold: self.hold.id, wanted }).is_err() {
            asking.hold = None;
            self.hold.lose(LostReason::Closed);
            return self.not_lost();
        }
        let answer = tokio::select! {
            biased;
            _ = self.hold.lost() => None,
            answer = answer => answer.ok(),
        };
        asking.hold = None;
        // It is lost: with its engine, or with its session.
        answer.unwrap_or_else(|| self.not_lost().and(Err(Error::Closed)))
    }

    /// The fencing token: it grows with every grant of this key, also across crashes. A lease always
    /// has one, a session lock has one if it was taken with [`Lock::fenced`](crate::Lock::fenced).
    /// [`fence`](crate::fence) is about what to do with it.
    ///
    /// While locking is switched off ([`set_enabled`](crate::set_enabled)), a lock that was taken with
    /// [`Lock::fenced`](crate::Lock::fenced) has the token 0, which is lower than all real ones. It
    /// fences nothing, and is refused where a real one was stored.
    pub fn fence(&self) -> Option<u64> {
        self.hold.fence
    }

    /// Releases the lock and waits until the server has let go, or until it has passed to another
    /// task of this process. On a server that does not answer that is at the latest when the lock's
    /// time is up: after `session_ttl`, or the `ttl` of a lease.
    ///
    /// # Errors
    /// [`Error::Lost`] when it had been lost before, or when the server has not confirmed it in that
    /// time; [`Error::Closed`] when the engine has ended before that, and in the child of a fork,
    /// where the lock is the parent's.
    ///
    /// # Cancel safety
    /// A release that was begun goes on; one that was not is done by the drop.
    pub async fn release(mut self) -> Result<()> {
        // It may be the last handle, and the engine is to be there until it has confirmed.
        let engine = self.engine.take();
        let released = match self.begin_release(engine.as_ref(), true) {
            true => {
                let _ending = Ending(&self.hold);
                self.hold.released().await
            }
            false => self.not_lost(),
        };
        drop(engine);
        released
    }

    /// [`Guard::release`] without `await`, from anywhere. Waits a minute at most.
    ///
    /// # Errors
    /// [`Error::Lost`] when it had been lost before, [`Error::Config`] inside the very runtime that
    /// the locker was told to run on; the lock is released in the background then.
    pub fn release_blocking(mut self) -> Result<()> {
        let engine = self.engine.take();
        if !self.begin_release(engine.as_ref(), true) {
            return self.not_lost();
        }
        let _ending = Ending(&self.hold);
        engine.as_ref().map_or(Ok(()), Engine::check_blocking)?;
        #[cfg(feature = "test-util")]
        let _blocks = engine.as_ref().and_then(Engine::blocks);
        block_for(LONGEST_RELEASE, self.hold.released()).unwrap_or(Err(Error::Closed))
    }

    /// Says that what was to be done in this period is done, and releases the lock: nobody gets it
    /// before [`once_per`](crate::Lock::once_per) has passed since it was granted. Without
    /// `once_per` it is [`release`](Guard::release).
    ///
    /// # Errors
    /// As [`release`](Guard::release): after [`Error::Lost`] somebody else may do it again.
    ///
    /// # Cancel safety
    /// What was begun goes on.
    pub async fn complete(self) -> Result<()> {
        self.not_lost()?;
        self.hold.complete();
        self.release().await
    }

    /// [`complete`](Guard::complete) without `await`. Waits a minute at most.
    ///
    /// # Errors
    /// As [`complete`](Guard::complete) and [`release_blocking`](Guard::release_blocking).
    pub fn complete_blocking(self) -> Result<()> {
        self.not_lost()?;
        self.hold.complete();
        self.release_blocking()
    }

    /// That it has been lost in this way, as somebody else has noticed.
    pub(crate) fn lost_by(&self, reason: LostReason) -> Error {
        let info =
            LostInfo { key: self.key().clone(), reason, held_for: self.hold.since.elapsed() };
        info.into()
    }

    /// `false`: nothing is released, for there are other guards of it.
    fn begin_release(&self, engine: Option<&Engine>, awaited: bool) -> bool {
        if !self.hold.remove_guard() {
            return false;
        }
        let Some(engine) = engine else {
            self.hold.mark_released();
            return true;
        };
        let posted = engine.send(Message::Release { hold: self.hold.id, awaited });
        // An engine that ends settles all that it has granted. In the child of a fork there is none,
        // and the lock is the parent's.
        if posted.is_err() && !engine.is_of_this_process() {
            self.hold.disown();
            self.hold.mark_unconfirmed();
        }
        true
    }

    /// The caller has it now, with all the options of a holder, after this wait. One that goes before that
    /// is given back at once.
    pub(crate) fn claimed(self, label: &Label, waited: Duration) -> Self {
        let first = self.hold.mark_taken();
        if let Some(engine) = self.engine.as_ref().filter(|_| first) {
            #[cfg(feature = "test-util")]
            engine.for_tests().into_iter().for_each(|tests| tests.note_taken(&self.hold));
            self.hold.observe(engine.telemetry(), label, waited);
        }
        self
    }

    fn not_lost(&self) -> Result<()> {
        self.is_lost();
        self.hold.lost_info().map_or(Ok(()), |info| Err(info.clone().into()))
    }

    /// Ends when the lock is lost. Stays pending when it is released, and does not keep it.
    pub fn lost(&self) -> impl Future<Output = LostInfo> + Send + 'static + use<> {
        self.hold.lost()
    }

    /// Whether the lock is lost, as far as this process can know: by what the server said, and by
    /// the clock when the server has not confirmed it in time. Local and cheap; from `true` it
    /// never goes back.
    pub fn is_lost(&self) -> bool {
        self.hold.is_lost()
    }

    /// How long the guard still counts as held if the server never answers again: until then nobody
    /// else has the lock, whatever happens. Each heartbeat and each renewal puts it off.
    /// [`Duration::ZERO`] once the lock is lost, and very long where locks cannot be lost (`memory:`).
    /// Local and cheap.
    pub fn valid_for(&self) -> Duration {
        self.hold.valid_for()
    }

    /// Asks the server whether the lock is held, and waits at most 5 s for the answer.
    ///
    /// # Errors
    /// [`Error::Lost`] when it is not; [`Error::Unavailable`] when the server does not answer in
    /// that time: then the lock is held as far as anybody knows, and [`Guard::is_lost`] says when
    /// that ends.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn verify(&self) -> Result<()> {
        if let Some(engine) = &self.engine
            && !self.is_lost()
        {
            let (reply, answer) = oneshot::channel();
            if engine.send(Message::Verify { hold: self.hold.id, reply }).is_err() {
                if !engine.is_of_this_process() {
                    return Err(Error::Closed);
                }
                self.hold.lose(LostReason::Closed);
            }
            let answer = tokio::select! {
                answer = answer => answer.ok(),
                _ = self.hold.lost() => None,
            };
            match answer {
                Some(Ok(true)) => {}
                Some(Ok(false)) => self.hold.lose(LostReason::NotHeld),
                Some(Err(error)) => return self.not_lost().and(Err(error.about(self.key()))),
                // It is lost: with its engine, or with its session.
                None => self.hold.lose(LostReason::Closed),
            }
        }
        self.not_lost()
    }

    /// [`verify`](Guard::verify) without `await`.
    ///
    /// # Errors
    /// As [`verify`](Guard::verify); [`Error::Config`] inside the very current-thread runtime that the
    /// locker was told to run on.
    pub fn verify_blocking(&self) -> Result<()> {
        self.engine.as_ref().map_or(Ok(()), Engine::check_blocking)?;
        block_for(LONGEST_RELEASE, self.verify()).unwrap_or(Err(Error::Closed))
    }

    /// Runs a future as long as the lock is held: when it is lost, the future is dropped at its
    /// next await.
    ///
    /// # Errors
    /// [`Error::Lost`] when the lock was lost before the future ended.
    ///
    /// # Cancel safety
    /// As the future's.
    pub async fn protect<F: Future>(&self, body: F) -> Result<F::Output> {
        scope::protect(&self.holds(), body).await
    }

    /// Lets the lock stay held, without a guard, until the locker is closed (or the last clone of it
    /// dropped) or the process ends.
    pub fn leak(mut self) {
        self.engine = None;
    }

    /// An error if it is lost, as far as this process can know.
    pub(crate) fn check_held(&self) -> Result<()> {
        self.not_lost()
    }

    /// From now on its drop releases nothing.
    pub(crate) fn take_engine(&mut self) -> Option<Engine> {
        self.engine.take()
    }

    /// Who is told when it goes.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    pub(crate) fn hold(&self) -> &Arc<Grant> {
        &self.hold
    }
}

/// Tells the end of a guard, in whatever way the wait for it ends.
pub(crate) struct Ending<'a>(pub(crate) &'a Grant);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.tell_end();
    }
}

/// Tells the engine when the caller goes before it has an answer.
struct AskingToConvert<'a> {
    engine: &'a Engine,
    hold: Option<GrantId>,
}

impl Drop for AskingToConvert<'_> {
    fn drop(&mut self) {
        if let Some(hold) = self.hold {
            // An engine that has ended asks for nothing.
            let _ = self.engine.send(Message::GiveUpConversion { hold });
        }
    }
}

impl AnyGuard for Guard {
    fn holds(&self) -> Grants {
        Grants::One(Arc::clone(&self.hold))
    }

    fn release(self) -> impl Future<Output = Result<()>> + Send {
        Guard::release(self)
    }

    fn release_blocking(self) -> Result<()> {
        Guard::release_blocking(self)
    }

    fn another(&self) -> Option<Self> {
        self.hold.share().then(|| Guard::new(Arc::clone(&self.hold), self.engine.clone()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take()
            && self.begin_release(Some(&engine), false)
        {
            self.hold.tell_end();
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("key", &self.hold.key)
            .field("mode", &self.hold.mode())
            .field("lost", &self.hold.lost_info())
            .finish_non_exhaustive()
    }
}
