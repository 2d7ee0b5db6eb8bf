//! Permits: a lock that several may hold, each by a lock of its own, its slot.
//!
//! The first slot is the key itself. A call tries one slot at random. If that is taken, all are
//! tried together, so for a moment this takes more than one; therefore only one does so at a time,
//! under a lock of its own, the turn. Everybody else takes a slot only to keep it, so the one who has the
//! turn and finds all slots taken knows that all permits are.
//!
//! Those who wait stand in line for another lock; the first in line takes the turn again and again,
//! until a slot is free.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use super::Lock;
use crate::engine::Engine;
use crate::engine::call_deadline::Deadline;
use crate::error::{Error, Result};
use crate::lock::guard::Guard;
use crate::lock::join::{discard, join_all};
use crate::lock::scope;
use crate::observe::Event;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::switch;

/// Each is asked for by name.
const PERMITS_MAX: u32 = 1000;
/// How long the first in line leaves the slots alone.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// A turn takes three round trips. It is waited for much longer, and then done without: the caller that has
/// it may be a process that was stopped.
const TURN_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often a call that does not wait tries all slots without the turn. Each round finds a free slot unless
/// its permit moves at that very moment to a slot that was just tried, which is rare once and not seen thrice.
const ROUNDS_WITHOUT_TURN: usize = 3;

/// The locks that a semaphore consists of.
struct Permits<'a> {
    engine: &'a Engine,
    /// On the caller's options, for any of them may become the caller's.
    slots: Vec<Lock>,
    turn: Lock,
    line: Lock,
    /// How often those who wait look for a free slot, if the caller has said so.
    pause: Option<Duration>,
}

impl Lock {
    /// Acquires one of `n` permits.
    pub(super) async fn take_one_of(&self, n: u32, deadline: Deadline) -> Result<Guard> {
        self.check_permits(n)?;
        if !switch::enabled() {
            return Ok(self.unlocked());
        }
        if n == 1 {
            return self.derived(None, self.options.clone()).request(deadline).await;
        }
        let native = self.native.as_ref().map_err(Error::clone)?;
        let engine = self.core.engine();
        if let Some(grant) = scope::is_under(engine.id(), native) {
            return self.again(grant);
        }
        #[cfg(feature = "test-util")]
        if engine.for_tests().is_some() {
            let counted = Lock { family: Some(native.clone()), ..self.clone() };
            return counted.request(deadline).await;
        }
        let permits = self.permits_of(native, n);
        let taken = permits.take(deadline);
        let guard = match engine.telemetry().slow_wait().filter(|_| deadline.is_patient()) {
            Some(after) => self.tell_if_slow(native, after, deadline, taken).await?,
            None => taken.await?,
        };
        // A slot that was taken and not kept is nobody's loss.
        if let Some(callback) = &self.on_lost {
            guard.grant().tell_of_loss(callback.clone());
        }
        Ok(guard)
    }

    fn permits_of(&self, native: &NativeKey, n: u32) -> Permits<'_> {
        let pause = self.options.retry_every;
        let inner = |what, options| Lock {
            on_lost: None,
            inner: true,
            ..self.beside(native, what, options)
        };
        let slot = |n| {
            let options = LockOptions { reentrant: false, ..self.options.clone() };
            let slot = match n {
                0 => self.derived(None, options),
                n => self.beside(native, &format!("s{n}"), options),
            };
            Lock { family: Some(native.clone()), on_lost: None, ..slot }
        };
        Permits {
            engine: self.core.engine(),
            slots: (0..n).map(slot).collect(),
            turn: inner("t", LockOptions::default()),
            line: inner("g", LockOptions { retry_every: pause, ..LockOptions::default() }),
            pause,
        }
    }

    /// Waits for a permit, and tells if that takes for longer than usual: who has the first of them
    /// stands for all.
    async fn tell_if_slow(
        &self,
        native: &NativeKey,
        after: Duration,
        deadline: Deadline,
        taken: impl Future<Output = Result<Guard>>,
    ) -> Result<Guard> {
        let mut taken = pin!(taken);
        let tell = async {
            let engine = self.core.engine();
            if engine.sleep(after).await.is_err() {
                // It has ended, and says so to those who wait.
                return;
            }
            let holders = self.core.holders(native).await.unwrap_or_default();
            let (of, waited, holder) = (self.subject(), deadline.waited(), holders.first());
            engine.telemetry().emit(&Event::SlowWait { of, waited, holder });
        };
        tokio::select! {
            biased;
            guard = &mut taken => return guard,
            () = tell => {}
        }
        taken.await
    }

    fn check_permits(&self, n: u32) -> Result<()> {
        let wrong = if !(1..=PERMITS_MAX).contains(&n) {
            format!("a lock of {n} permits; there must be between 1 and {PERMITS_MAX}")
        } else if self.mode != Mode::Exclusive {
            format!("permits of a lock in mode {}; leave out the mode, or permits", self.mode)
        } else if self.options.once_per.is_some() {
            "each holder of a permit would run once in the period; leave out once_per, or permits"
                .to_owned()
        } else if self.options.fenced {
            "a fencing token tells the later of two holders, and of permits there are several at \
             once; leave out fenced, or permits"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(Error::config(wrong))
    }

    /// A lock of another name, which no key has.
    fn beside(&self, native: &NativeKey, what: &str, options: LockOptions) -> Lock {
        self.derived(Some(self.core.naming().beside(native, what)), options)
    }

    fn derived(&self, native: Option<NativeKey>, options: LockOptions) -> Lock {
        let lock = self.clone();
        let native = native.map_or(lock.native, Ok);
        Lock { native, options, permits: None, ..lock }
    }
}

impl Permits<'_> {
    async fn take(&self, deadline: Deadline) -> Result<Guard> {
        let at_random = self.slots.get(fastrand::usize(..self.slots.len().max(1)));
        let first = match at_random {
            Some(slot) => slot.request(deadline.of_a_try()).await,
            None => Err(Error::Closed),
        };
        match first {
            Err(error) if may_change(&error) => {}
            answer => return answer,
        }
        if !deadline.is_patient() {
            return self.take_turn(deadline).await;
        }
        let of_all = |error| match error {
            // Who is first in line has no permit.
            Error::Timeout { key, stage, .. } => {
                Error::Timeout { key, waited: deadline.waited(), stage, holder: None }
            }
            error => error,
        };
        let first_in_line = self.line.request(deadline).await.map_err(of_all)?;
        let taken = self.take_turns(deadline).await;
        drop(first_in_line);
        taken
    }

    /// Tries all slots again and again.
    async fn take_turns(&self, deadline: Deadline) -> Result<Guard> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.take_turn(deadline).await {
                Err(error) if may_change(&error) && deadline.may_wait() => {}
                Err(Error::Timeout { key, stage, holder, .. }) => {
                    let waited = deadline.waited();
                    return Err(Error::Timeout { key, waited, stage, holder });
                }
                answer => return answer,
            }
            let about = pause.mul_f64(0.5 + 0.5 * fastrand::f64());
            let about = self.pause.unwrap_or(about);
            self.engine.sleep(about.min(deadline.remaining())).await?;
            pause = (pause * 3 / 2).min(PAUSE_MAX);
        }
    }

    /// Tries all slots, while nobody else does.
    async fn take_turn(&self, deadline: Deadline) -> Result<Guard> {
        match self.turn.request(deadline.within(TURN_WAIT_MAX)).await {
            Ok(turn) => {
                let mut taken = self.try_all(deadline).await;
                // A slot that this process was just giving back is tried after the others, and its
                // taker may have left one of those meanwhile: twice in a row is no coincidence. Who
                // waits tries again anyway.
                if !deadline.is_patient() && taken.as_ref().is_err_and(Error::is_timeout) {
                    taken = self.try_all(deadline).await;
                }
                drop(turn);
                taken
            }
            // A server that has not answered within that time may still answer within the call's.
            Err(error) if may_change(&error) => self.try_each(deadline).await,
            Err(error) => Err(error),
        }
    }

    /// Tries all slots together.
    async fn try_all(&self, deadline: Deadline) -> Result<Guard> {
        let tries = self.slots.iter().map(|slot| slot.request(deadline.of_a_try()));
        let answers = join_all(Some(self.engine), tries).await;
        let (mut granted, mut surplus, mut refused) = (None, Vec::new(), Error::Closed);
        let mut failed = None;
        for answer in answers {
            match answer {
                Ok(guard) if granted.is_none() => granted = Some(guard),
                Ok(guard) => surplus.push(guard),
                Err(error) if error.is_timeout() => refused = error,
                Err(error) => failed = Some(error),
            }
        }
        let error = failed.unwrap_or(refused);
        // Released before others have the turn: they must find these free.
        discard(self.engine, surplus, &error).await;
        granted.ok_or(error)
    }

    /// Tries one slot after the other, and takes only the one that it keeps.
    ///
    /// A permit may move to a slot that was tried before. A call that waits tries again anyway; one
    /// that does not wait makes several rounds, since it is unlikely to miss a free slot in each.
    async fn try_each(&self, deadline: Deadline) -> Result<Guard> {
        let rounds = if deadline.is_patient() { 1 } else { ROUNDS_WITHOUT_TURN };
        let mut answer = Err(Error::Closed);
        for slot in (0..rounds).flat_map(|_| &self.slots) {
            answer = slot.request(deadline.of_a_try()).await;
            if !answer.as_ref().is_err_and(Error::is_timeout) {
                break;
            }
        }
        answer
    }
}

/// A try that ends like this may end better a moment later.
fn may_change(error: &Error) -> bool {
    matches!(error, Error::Timeout { .. } | Error::Unavailable { .. })
}
