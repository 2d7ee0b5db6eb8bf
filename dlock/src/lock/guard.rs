//! Guard: the lock is held while it lives.

mod conversion;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use self::conversion::Conversion;
use crate::blocking::block_for;
use crate::engine::{Delivery, Engine, Grant, Grants, Message, OnLost};
use crate::error::{Error, Result};
use crate::lock::scope::{self, AnyGuard, LONGEST_RELEASE};
use crate::observe::Label;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::wait::Wait;
use crate::status::lost::{LostInfo, LostReason};

/// A held lock. It is held while this guard lives.
///
/// Dropping the guard hands the release to the engine. The drop does not block, panic or await, on
/// any thread, with or without a runtime. The lock is free milliseconds later. There is one
/// exception: if the guard is the last handle of its locker and is dropped outside of a runtime,
/// the drop waits for the release, at most one second (see
/// [`Locker`](crate::Locker#the-end-of-a-program)). [`Guard::release`] also waits for the server's
/// confirmation, and tells whether the lock was held until then.
///
/// A lock can be lost while it is held: the server restarts, the network is cut, or the process is
/// frozen. [`Guard::is_lost`], [`Guard::lost`] and [`Guard::protect`] report a loss.
#[must_use = "the lock is released at once when the guard is not kept: bind it to a name, as in \
              `let _guard = …` (`let _ = …` drops it at once), or use `run`"]
#[clippy::has_significant_drop]
pub struct Guard {
    grant: Arc<Grant>,
    /// `None`: nothing is to be released.
    engine: Option<Engine>,
    /// The callback of this guard, where others share the grant.
    inner: Option<InnerCallback>,
    /// How long the lock that it is of waits.
    wait: Wait,
}

/// It is called no more when the guard has gone.
struct InnerCallback {
    grant: Arc<Grant>,
    id: u64,
}

impl Drop for InnerCallback {
    fn drop(&mut self) {
        self.grant.tell_no_more(self.id);
    }
}

impl Guard {
    /// The guard of what has arrived.
    pub(crate) fn of(delivery: Delivery, engine: &Engine) -> Result<Self> {
        let (grant, is_released) = delivery.accept().ok_or(Error::Closed)?;
        Ok(Guard::new(grant, is_released.then(|| engine.clone())))
    }

    pub(crate) fn new(grant: Arc<Grant>, engine: Option<Engine>) -> Self {
        Guard { grant, engine, inner: None, wait: Wait::DEFAULT }
    }

    /// The same with the wait of the lock that it is of.
    pub(crate) fn with_wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// Has this called if the lock is lost while this guard is there, one of several of its grant.
    pub(crate) fn tell_too(&mut self, callback: OnLost) {
        let id = self.grant.tell_too(callback);
        self.inner = Some(InnerCallback { grant: Arc::clone(&self.grant), id });
    }

    /// A guard of nothing: locking is switched off. `fenced`: a token is expected.
    pub(crate) fn while_off(key: Key, mode: Mode, fenced: bool) -> Self {
        Guard::new(Arc::new(Grant::while_off(key, mode, fenced)), None)
    }

    /// Returns the key of this lock.
    pub fn key(&self) -> &Key {
        &self.grant.key
    }

    /// Returns the mode in which the lock is held.
    pub fn mode(&self) -> Mode {
        self.grant.mode()
    }

    /// Makes a shared or an update lock exclusive without releasing it in between. Nobody else
    /// holds it exclusively before that, so everything that was read under it is still true. SQL
    /// Server and Oracle support this.
    ///
    /// It waits for all others that share the lock, in other processes and in this one, at most the
    /// lock's [`timeout`](crate::Lock::timeout). Use [`Mode::Update`] to read with the plan to
    /// write: only one holder can have that mode at a time. Two holders in [`Mode::Shared`] that
    /// both upgrade wait for each other.
    ///
    /// A connection that holds other keys cannot wait in the server, so dlock polls. Meanwhile,
    /// others that ask for a shared lock get it first, and the server detects no deadlock. After a
    /// change of its mode, a lock is no longer shared with other tasks of this process, nor handed
    /// over to them, without asking the server.
    ///
    /// # Errors
    /// After each of these errors except [`Error::Lost`], the lock is held in its old mode:
    ///
    /// * [`Error::Timeout`] if others still share the lock when the wait ends.
    /// * [`Error::Deadlock`] if another holder waits for this one in the same way.
    /// * [`Error::Unsupported`] if the database cannot change the mode.
    /// * [`Error::Config`] while other guards share this grant (the lock was taken again under
    ///   itself), and for one of several [`permits`](crate::Lock::permits).
    /// * [`Error::Unavailable`] if the server does not answer. [`mode`](Guard::mode) may then
    ///   change a moment later.
    ///
    /// # Cancel safety
    /// The lock stays held. If the server still changes the mode, [`mode`](Guard::mode) shows it.
    pub async fn upgrade(&mut self) -> Result<()> {
        self.convert(Mode::Exclusive).await
    }

    /// Makes an exclusive lock shared without releasing it in between. Others may then read what
    /// was written under it, and nobody has changed that before. Oracle supports this. SQL Server
    /// holds a lock in its strongest mode until the last release, so it returns
    /// [`Error::Unsupported`] there.
    ///
    /// # Errors
    /// Those of [`upgrade`](Guard::upgrade).
    ///
    /// # Cancel safety
    /// The same as [`upgrade`](Guard::upgrade).
    pub async fn downgrade(&mut self) -> Result<()> {
        self.convert(Mode::Shared).await
    }

    async fn convert(&self, to: Mode) -> Result<()> {
        self.not_lost()?;
        match &self.engine {
            Some(engine) => Conversion::new(&self.grant, engine).run(to, self.wait).await,
            // Locking is switched off.
            None => {
                self.grant.set_mode(to);
                Ok(())
            }
        }
    }

    /// Returns the fencing token, which grows with every grant of this key, also across crashes. A
    /// lease always has one. A session lock has one if it was taken with
    /// [`Lock::fenced`](crate::Lock::fenced); otherwise this is `None`. [`fence`](crate::fence)
    /// explains how to use it.
    ///
    /// While locking is switched off ([`set_enabled`](crate::set_enabled)), a lock that was taken
    /// with [`Lock::fenced`](crate::Lock::fenced) has the token 0, which is lower than all real
    /// ones. It fences nothing, and a resource that has stored a real token rejects it.
    pub fn fence(&self) -> Option<u64> {
        self.grant.fence
    }

    /// Releases the lock and waits until the server has confirmed it, or until the lock has passed
    /// to another task of this process. If the server does not answer, this waits at most until the
    /// lock expires: after `session_ttl`, or the `ttl` of a lease.
    ///
    /// # Errors
    /// [`Error::Lost`] if the lock was lost before, or if the server has not confirmed the release
    /// in that time. [`Error::Closed`] if the engine ended before that, and in the child of a fork,
    /// where the lock belongs to the parent.
    ///
    /// # Cancel safety
    /// A release that has begun continues. If it has not begun, the drop does it.
    pub async fn release(mut self) -> Result<()> {
        // It may be the last handle, and the engine is to be there until it has confirmed.
        let engine = self.engine.take();
        let released = match self.begin_release(engine.as_ref(), true) {
            true => {
                let _ending = Ending(&self.grant);
                self.grant.released().await
            }
            false => self.not_lost(),
        };
        drop(engine);
        released
    }

    /// Does the same as [`Guard::release`], and blocks the thread instead of awaiting. Callable
    /// from anywhere. Waits at most one minute.
    ///
    /// # Errors
    /// [`Error::Lost`] if the lock was lost before. [`Error::Config`] if called inside the same
    /// runtime that the locker was told to run on; the lock is then released in the background.
    pub fn release_blocking(mut self) -> Result<()> {
        let engine = self.engine.take();
        if !self.begin_release(engine.as_ref(), true) {
            return self.not_lost();
        }
        let _ending = Ending(&self.grant);
        engine.as_ref().map_or(Ok(()), Engine::check_blocking)?;
        #[cfg(feature = "test-util")]
        let _blocks = engine.as_ref().and_then(Engine::blocks);
        block_for(LONGEST_RELEASE, self.grant.released()).unwrap_or(Err(Error::Closed))
    }

    /// Marks the work of this period as done, and releases the lock. Nobody gets the lock before
    /// [`once_per`](crate::Lock::once_per) has passed since it was granted. Without `once_per` this
    /// is the same as [`release`](Guard::release).
    ///
    /// # Errors
    /// Those of [`release`](Guard::release). After [`Error::Lost`], another holder may do the work
    /// again.
    ///
    /// # Cancel safety
    /// A release that has begun continues.
    pub async fn complete(self) -> Result<()> {
        self.not_lost()?;
        self.grant.complete();
        self.release().await
    }

    /// Does the same as [`complete`](Guard::complete), and blocks the thread instead of awaiting.
    /// Waits at most one minute.
    ///
    /// # Errors
    /// Those of [`complete`](Guard::complete) and [`release_blocking`](Guard::release_blocking).
    pub fn complete_blocking(self) -> Result<()> {
        self.not_lost()?;
        self.grant.complete();
        self.release_blocking()
    }

    /// That it has been lost in this way, as somebody else has noticed.
    pub(crate) fn lost_by(&self, reason: LostReason) -> Error {
        let info = LostInfo { key: self.key().clone(), reason, held_for: self.grant.held_for() };
        info.into()
    }

    /// `false`: nothing is released, for there are other guards of it.
    fn begin_release(&self, engine: Option<&Engine>, awaited: bool) -> bool {
        if !self.grant.remove_guard() {
            return false;
        }
        let Some(engine) = engine else {
            self.grant.mark_released();
            return true;
        };
        let posted = engine.send(Message::Release { hold: self.grant.id, awaited });
        // An engine that ends settles all that it has granted. In the child of a fork there is none,
        // and the lock is the parent's.
        if posted.is_err() && !engine.is_of_this_process() {
            self.grant.disown();
            self.grant.mark_unconfirmed();
        }
        true
    }

    /// The caller has it now, with all the options of a holder, after this wait. One that goes before that
    /// is given back at once.
    pub(crate) fn claimed(self, label: &Label, waited: Duration) -> Self {
        let first = self.grant.mark_taken();
        if let Some(engine) = self.engine.as_ref().filter(|_| first) {
            #[cfg(feature = "test-util")]
            engine.for_tests().into_iter().for_each(|tests| tests.note_taken(&self.grant));
            self.grant.observe(engine.telemetry(), label, waited);
        }
        self
    }

    fn not_lost(&self) -> Result<()> {
        conversion::not_lost(&self.grant)
    }

    /// Waits until the lock is lost. The future stays pending if the lock is released, and does not
    /// keep the lock held.
    pub fn lost(&self) -> impl Future<Output = LostInfo> + Send + 'static + use<> {
        self.grant.lost()
    }

    /// Returns `true` if the lock is lost, as far as this process can know: because the server said
    /// so, or because the server has not confirmed the lock in time. Once true, it stays true.
    /// Local and cheap.
    pub fn is_lost(&self) -> bool {
        self.grant.is_lost()
    }

    /// Returns how long this guard stays valid without an answer from the server. Until then nobody
    /// else holds the lock, whatever happens. Each heartbeat and each renewal extends this time.
    /// Returns [`Duration::ZERO`] once the lock is lost, and a very long time where locks cannot be
    /// lost (`memory:`). Local and cheap.
    pub fn valid_for(&self) -> Duration {
        self.grant.valid_for()
    }

    /// Asks the server whether the lock is held, waiting at most 5 s for the answer.
    ///
    /// # Errors
    /// [`Error::Lost`] if it is not held. [`Error::Unavailable`] if the server does not answer in
    /// that time: as far as dlock knows, the lock is then still held, and [`Guard::is_lost`]
    /// becomes `true` when that ends.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn verify(&self) -> Result<()> {
        if let Some(engine) = &self.engine
            && !self.is_lost()
        {
            let (reply, answer) = oneshot::channel();
            if engine.send(Message::Verify { hold: self.grant.id, reply }).is_err() {
                if !engine.is_of_this_process() {
                    return Err(Error::Closed);
                }
                self.grant.lose(LostReason::Closed);
            }
            let answer = tokio::select! {
                answer = answer => answer.ok(),
                _ = self.grant.lost() => None,
            };
            match answer {
                Some(Ok(true)) => {}
                Some(Ok(false)) => self.grant.lose(LostReason::NotHeld),
                Some(Err(error)) => return self.not_lost().and(Err(error.about(self.key()))),
                // It is lost: with its engine, or with its session.
                None => self.grant.lose(LostReason::Closed),
            }
        }
        self.not_lost()
    }

    /// Does the same as [`verify`](Guard::verify), and blocks the thread instead of awaiting.
    ///
    /// # Errors
    /// Those of [`verify`](Guard::verify), and [`Error::Config`] if called inside the same
    /// current-thread runtime that the locker was told to run on.
    pub fn verify_blocking(&self) -> Result<()> {
        self.engine.as_ref().map_or(Ok(()), Engine::check_blocking)?;
        block_for(LONGEST_RELEASE, self.verify()).unwrap_or(Err(Error::Closed))
    }

    /// Runs a future while the lock is held. If the lock is lost, dlock drops the future at its
    /// next await.
    ///
    /// # Errors
    /// [`Error::Lost`] if the lock was lost before the future ended.
    ///
    /// # Cancel safety
    /// The same as the future.
    pub async fn protect<F: Future>(&self, body: F) -> Result<F::Output> {
        scope::protect(&self.grants(), body).await
    }

    /// Keeps the lock held without a guard, until the locker is closed, its last clone is dropped,
    /// or the process ends.
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

    pub(crate) fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }
}

/// Tells the end of a guard, in whatever way the wait for it ends.
pub(crate) struct Ending<'a>(pub(crate) &'a Grant);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.tell_end();
    }
}

impl AnyGuard for Guard {
    fn grants(&self) -> Grants {
        Grants::One(Arc::clone(&self.grant))
    }

    fn release(self) -> impl Future<Output = Result<()>> + Send {
        Guard::release(self)
    }

    fn release_blocking(self) -> Result<()> {
        Guard::release_blocking(self)
    }

    fn another(&self) -> Option<Self> {
        self.grant.share().then(|| Guard::new(Arc::clone(&self.grant), self.engine.clone()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take()
            && self.begin_release(Some(&engine), false)
        {
            self.grant.tell_end();
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("key", &self.grant.key)
            .field("mode", &self.grant.mode())
            .field("lost", &self.grant.lost_info())
            .finish_non_exhaustive()
    }
}
