//! Permits: a lock that several may hold, each by a lock of its own.
//!
//! The first permit is the key itself. Who waits, and finds one taken at random, stands in line for
//! the gate; whoever has that tries all permits together, until one is free.

use std::time::Duration;

use tokio::time::Instant;

use super::Lock;
use crate::error::{Error, Result};
use crate::extent;
use crate::guard::Guard;
use crate::join::join_all;
use crate::mode::Mode;
use crate::switch;
use crate::wait::Wait;

/// Each is asked for by name.
const MOST: u32 = 1000;
/// How long the first in line lets the permits alone.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

impl Lock {
    /// Takes one of so many permits, waiting so long.
    pub(super) async fn take_one_of(&self, n: u32, wait: Wait) -> Result<Guard> {
        self.check_permits(n)?;
        if !switch::enabled() {
            return Ok(Guard::unlocked(self.key.clone(), self.mode));
        }
        let asked = Instant::now();
        let engine = self.locker.engine();
        let permits: Vec<Lock> = (0..n).map(|n| self.permit(n)).collect::<Result<_>>()?;
        let mut natives = permits.iter().filter_map(|permit| permit.native.as_ref().ok());
        if let Some(hold) = natives.find_map(|native| extent::is_under(engine.id(), native)) {
            return self.again(hold);
        }
        let mut busy = match self.try_some(&permits, wait).await {
            Err(error) if error.is_timeout() && wait != Wait::NoWait => error,
            answer => return answer,
        };
        let left = |wait| match wait {
            Wait::For(time) => Wait::For(time.saturating_sub(asked.elapsed())).normal(),
            wait => wait,
        };
        let in_all = |error| match error {
            Error::Timeout { key, stage, holder, .. } => {
                Error::Timeout { key, waited: asked.elapsed(), stage, holder }
            }
            error => error,
        };
        let gate = self.gate()?.request(left(wait)).await.map_err(|error| match in_all(error) {
            // Who has the gate has no permit.
            Error::Timeout { key, waited, stage, .. } => {
                Error::Timeout { key, waited, stage, holder: None }
            }
            error => error,
        })?;
        let mut pause = SHORTEST;
        loop {
            let tries = permits.iter().map(|permit| permit.request(Wait::NoWait));
            let answers = join_all(Some(engine), tries).await;
            let (mut got, mut too_many) = (None, Vec::new());
            for answer in answers {
                match answer {
                    Ok(guard) if got.is_none() => got = Some(guard),
                    Ok(guard) => too_many.push(guard),
                    Err(error) if error.is_timeout() => busy = error,
                    Err(error) => return Err(error),
                }
            }
            if let Some(guard) = got {
                // Awaited, so that a try that comes next finds them free. One that was lost is, too.
                let others = too_many.into_iter().chain([gate]);
                join_all(Some(engine), others.map(Guard::release)).await;
                return Ok(guard);
            }
            let left = match left(wait) {
                Wait::NoWait => return Err(in_all(busy)),
                Wait::For(time) => time,
                Wait::Forever => Duration::MAX,
            };
            let about = pause.mul_f64(0.5 + 0.5 * fastrand::f64());
            engine.sleep(about.min(left)).await?;
            pause = (pause * 3 / 2).min(LONGEST);
        }
    }

    /// Tries one permit at random; who does not wait tries the others too, one after the other, for
    /// whoever tries many at once takes more than one for a moment.
    async fn try_some(&self, permits: &[Lock], wait: Wait) -> Result<Guard> {
        let tries = if wait == Wait::NoWait { permits.len() } else { 1 };
        let first = fastrand::usize(..permits.len().max(1));
        let mut answer = Err(Error::Closed);
        for permit in permits.iter().cycle().skip(first).take(tries) {
            answer = permit.request(Wait::NoWait).await;
            if !answer.as_ref().is_err_and(Error::is_timeout) {
                break;
            }
        }
        answer
    }

    fn check_permits(&self, n: u32) -> Result<()> {
        let wrong = if !(1..=MOST).contains(&n) {
            format!("a lock of {n} permits; there must be between 1 and {MOST}")
        } else if self.mode != Mode::Exclusive {
            format!("permits of a lock in mode {}; leave out the mode, or permits", self.mode)
        } else if self.terms.fenced {
            "a fencing token tells the later of two holders, and of permits there are several at \
             once; leave out fenced, or permits"
                .to_owned()
        } else {
            return Ok(());
        };
        Err(Error::config(wrong))
    }

    fn permit(&self, n: u32) -> Result<Lock> {
        if n == 0 { Ok(self.derived(None)) } else { self.beside(&format!("s{n}")) }
    }

    fn gate(&self) -> Result<Lock> {
        self.beside("g")
    }

    /// A lock of another name, which no key has.
    fn beside(&self, what: &str) -> Result<Lock> {
        let native = self.native.as_ref().map_err(Error::clone)?;
        Ok(self.derived(Some(self.locker.naming().beside(native, what))))
    }

    fn derived(&self, native: Option<crate::native::NativeKey>) -> Lock {
        let lock = self.clone();
        let native = native.map_or(lock.native, Ok);
        Lock { native, permits: None, ..lock }
    }
}
