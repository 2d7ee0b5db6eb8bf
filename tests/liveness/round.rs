//! A round: callers, trouble, and what must hold when the trouble is over.

use std::time::{Duration, Instant};

use dlock::{Error, Key, Locker};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::world::World;

/// When the server is healthy and the key free, the lock is there by then.
const GRANTED: Duration = Duration::from_secs(15);
/// Everybody is answered when their time is up, and this at most later: the machine may be busy.
const LATE: Duration = Duration::from_secs(4);
/// So long a try may take, as the docs say.
const TRY: Duration = Duration::from_secs(5);
/// Keys that others want too.
const CONTENDED: u64 = 4;

impl World {
    pub(crate) async fn round(&mut self) -> Result<(), String> {
        let mut callers = JoinSet::new();
        self.others(&mut callers);
        self.callers(&mut callers);
        self.keep_one_more().await;
        for _ in 0..self.rng.u32(1..=2) {
            self.trouble().await;
        }
        self.note("the trouble is over");
        self.proxy.come_back();
        self.limit(None).await;
        self.is_alive().await?;
        while let Some(called) = callers.join_next().await {
            called.unwrap().map_err(|late| self.failed(late))?;
        }
        self.kept.retain(|guard| !guard.is_lost());
        self.note(format_args!("{} locks are kept", self.kept.len()));
        for number in 0..CONTENDED {
            let key = Key::from(format!("contended-{number}"));
            self.is_granted(key, false).await?;
        }
        Ok(())
    }

    /// Another program has the keys, and lets go of them one after the other.
    fn others(&mut self, callers: &mut JoinSet<Result<(), String>>) {
        for number in 0..CONTENDED {
            let lock = self.theirs.lock(format!("contended-{number}")).timeout(GRANTED);
            let hold = Duration::from_millis(self.rng.u64(..2500));
            callers.spawn(async move {
                // What a caller of the last round has is in nobody's way for long.
                if let Ok(guard) = lock.acquire().await {
                    sleep(hold).await;
                    let _ = guard.release().await;
                }
                Ok(())
            });
        }
    }

    fn callers(&mut self, callers: &mut JoinSet<Result<(), String>>) {
        for _ in 0..self.rng.u32(2..=10) {
            let caller = Caller {
                key: format!("contended-{}", self.rng.u64(..CONTENDED)),
                after: Duration::from_millis(self.rng.u64(..1500)),
                wait: Duration::from_millis(self.rng.u64(..3) * self.rng.u64(..1500)),
                fenced: self.rng.u8(..8) == 0,
                hold: Duration::from_millis(self.rng.u64(..200)),
                gone: (self.rng.u8(..5) == 0).then(|| Duration::from_millis(self.rng.u64(..1000))),
            };
            self.note(format_args!("{caller:?}"));
            callers.spawn(caller.call(self.locker.clone()));
        }
    }

    async fn trouble(&mut self) {
        // Many are over soon, and many take a little longer than a server may be silent.
        let times = if self.rng.bool() { 100..600 } else { 3100..4000 };
        let time = Duration::from_millis(self.rng.u64(times));
        match self.rng.u8(..8) {
            0..=2 => {
                self.note(format_args!("nothing passes for {time:?}"));
                self.proxy.go_silent();
                sleep(time).await;
                self.proxy.come_back();
            }
            3 => {
                self.note(format_args!("what is open is silent for {time:?}"));
                self.proxy.forget_open();
                sleep(time).await;
            }
            4 => {
                let ended = self.witness.terminate(&self.site).await;
                self.note(format_args!("all {ended} sessions were ended"));
            }
            5 => {
                self.witness.terminate_a_holder(&self.site).await;
                self.note("a holder was ended");
            }
            6 => {
                let most = self.rng.u32(..=self.sessions);
                self.limit(Some(most)).await;
                self.note(format_args!("{most} connections at most"));
                if self.rng.bool() {
                    self.witness.terminate(&self.site).await;
                }
                sleep(time / 2).await;
            }
            _ => self.keep_one_more().await,
        }
    }

    /// What is held for long must not cost its session.
    async fn keep_one_more(&mut self) {
        let key = self.fresh();
        let lock = self.locker.lock(key).timeout(Duration::from_millis(500));
        if let Ok(guard) = lock.acquire().await {
            self.note("one more lock is kept");
            self.kept.push(guard);
        }
    }

    /// The server is healthy.
    async fn is_alive(&mut self) -> Result<(), String> {
        let key = self.fresh();
        self.is_granted(key, false).await?;
        // A write takes no session that others' locks depend on, or makes sure that it may: for that,
        // each of them must answer.
        if self.sessions > 1 {
            let key = self.fresh();
            self.is_granted(key, true).await?;
        }
        match timeout(GRANTED, self.locker.status()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.failed(format_args!("status: {error}"))),
            Err(_) => Err(self.failed("status does not answer")),
        }
    }

    async fn is_granted(&mut self, key: Key, fenced: bool) -> Result<(), String> {
        let lock = self.locker.lock(key.clone()).timeout(GRANTED);
        let lock = if fenced { lock.fenced() } else { lock };
        match timeout(GRANTED + LATE, lock.acquire()).await {
            Ok(Ok(guard)) => {
                // Lost on the way is possible, as long as what comes next is granted.
                let _ = guard.release().await;
                Ok(())
            }
            Ok(Err(error)) => {
                Err(self.failed(format_args!("{key} (fenced: {fenced}) is free: {error}")))
            }
            Err(_) => Err(self.failed(format_args!("{key}: no answer"))),
        }
    }
}

/// Somebody who wants a key that others want too.
#[derive(Debug)]
struct Caller {
    key: String,
    after: Duration,
    wait: Duration,
    fenced: bool,
    hold: Duration,
    /// Waits no longer than that, whatever it has said.
    gone: Option<Duration>,
}

impl Caller {
    async fn call(self, locker: Locker) -> Result<(), String> {
        sleep(self.after).await;
        let lock = locker.lock(&*self.key).timeout(self.wait);
        let lock = if self.fenced { lock.fenced() } else { lock };
        let limit = if self.wait.is_zero() { TRY } else { self.wait } + LATE;
        let start = Instant::now();
        let answer = timeout(self.gone.unwrap_or(limit), lock.acquire()).await;
        match answer {
            Ok(Ok(guard)) => {
                sleep(self.hold).await;
                let released = timeout(limit + LATE, guard.release()).await;
                released.map(drop).map_err(|_| format!("{self:?}: the release has no answer"))
            }
            Ok(Err(error @ (Error::Timeout { .. } | Error::Unavailable { .. }))) => {
                let early = !self.wait.is_zero() && start.elapsed() < self.wait;
                if early && error.is_timeout() {
                    return Err(format!("{self:?}: too early: {error}"));
                }
                Ok(())
            }
            Ok(Err(error)) => {
                Err(format!("{self:?}: {error}: {:?}", std::error::Error::source(&error)))
            }
            Err(_) if self.gone.is_some() => Ok(()),
            Err(_) => Err(format!("{self:?}: no answer after {:?}", start.elapsed())),
        }
    }
}
