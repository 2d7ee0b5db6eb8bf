//! Random programs of locks on one connection of an application: nested, reentrant, of several keys,
//! cancelled, panicking, forgotten; checked against a count of what must be held.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use dlock::{Connection, Error, on};
use fastrand::Rng;
use tokio::time::timeout;

use crate::check::is_long;
use crate::site::Site;

const KEYS: usize = 4;

/// What a round is made of, and what must be held while it runs.
#[derive(Debug)]
pub struct Rounds {
    seed: u64,
    site: Site,
    random: Mutex<Rng>,
    /// How often the connection has each key.
    held: Mutex<[usize; KEYS]>,
    /// The key that another connection has.
    blocked: Mutex<Option<usize>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    granted: u32,
    reentrant: u32,
    busy: u32,
    cancelled: u32,
    panicked: u32,
    forgotten: u32,
}

/// Keys that a lock holds, until it is gone.
struct Counted<'a>(&'a Rounds, Vec<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        for key in &self.1 {
            self.0.lock(&self.0.held)[*key] -= 1;
        }
    }
}

impl Rounds {
    /// The seed is `DLOCK_TEST_SEED`, or another one each time; it is printed.
    pub fn new(site: &Site) -> Self {
        let seed = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("DLOCK_TEST_SEED={seed}");
        Rounds {
            seed,
            site: site.clone(),
            random: Mutex::new(Rng::with_seed(seed)),
            held: Mutex::default(),
            blocked: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// 5,000, and ten times as many in a long run.
    pub fn count() -> u32 {
        if is_long() { 50_000 } else { 5_000 }
    }

    fn lock<'a, T>(&self, what: &'a Mutex<T>) -> std::sync::MutexGuard<'a, T> {
        what.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of so many.
    pub fn one_of(&self, choices: u64) -> u64 {
        self.lock(&self.random).u64(0..choices)
    }

    fn moment(&self, micros: u64) -> Duration {
        Duration::from_micros(self.one_of(micros))
    }

    fn name(&self, key: usize) -> String {
        format!("{}-{key}", self.site.namespace)
    }

    /// How many different keys the connection must have.
    pub fn held(&self) -> i64 {
        self.lock(&self.held).iter().filter(|count| **count > 0).count() as i64
    }

    /// Nothing is held any more: the session has ended.
    pub fn forget(&self) {
        *self.lock(&self.held) = [0; KEYS];
    }

    /// Another connection takes one of the keys for the time of a round, if it can.
    pub fn block(&self) -> Option<String> {
        let key = (self.one_of(3) == 0).then(|| self.one_of(KEYS as u64) as usize);
        *self.lock(&self.blocked) = key;
        key.map(|key| self.name(key))
    }

    /// A name that nobody else locks.
    pub fn probe(&self) -> String {
        format!("{}-probe", self.site.namespace)
    }

    /// Runs a program under an outer lock, or not, and lets it be cut off at any moment. Unless
    /// `lenient`, for transactions that a wait can break, the outer lock is held after it, and `check`
    /// is asked before it is released.
    pub async fn run<C: Connection>(
        &self,
        conn: &mut C,
        lenient: bool,
        check: impl AsyncFn(&mut C),
    ) {
        let free = |key: &usize| *self.lock(&self.blocked) != Some(*key);
        let outer = Some(self.one_of(KEYS as u64) as usize).filter(free);
        let Some(key) = outer.filter(|_| self.one_of(2) == 0) else {
            self.cut(conn, lenient).await;
            return;
        };
        let mut outer = on(conn).lock(self.name(key));
        outer.acquire().await.unwrap_or_else(|error| panic!("{}: {error}", self.seed));
        let counted = self.counted(vec![key]);
        self.cut(outer.conn(), lenient).await;
        // It costs as much as the rest.
        if !lenient && self.one_of(4) == 0 {
            check(outer.conn()).await;
        }
        assert!(outer.is_held());
        match outer.release().await {
            Ok(held) => assert!(held, "{}", self.seed),
            Err(Error::Config { .. }) if lenient => {}
            Err(error) => panic!("{}: {error:?}", self.seed),
        }
        drop(counted);
    }

    async fn cut<C: Connection>(&self, conn: &mut C, lenient: bool) {
        let program = async {
            for _ in 0..=self.one_of(2) {
                self.nest(conn, 2, lenient).await;
            }
        };
        let cut = if self.one_of(3) == 0 { self.moment(2000) } else { Duration::from_secs(60) };
        match timeout(cut, caught(program)).await {
            Ok(Ok(())) => {}
            Ok(Err(panic)) if panic.is::<Planned>() => self.lock(&self.seen).panicked += 1,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => self.lock(&self.seen).cancelled += 1,
        }
    }

    fn nest<'a, C: Connection>(
        &'a self,
        conn: &'a mut C,
        depth: u8,
        lenient: bool,
    ) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
        Box::pin(async move {
            let keys = self.some_keys();
            let reentrant = self.one_of(2) == 0;
            let has_some = keys.iter().any(|key| self.lock(&self.held)[*key] > 0);
            let blocked = self.lock(&self.blocked).is_some_and(|key| keys.contains(&key));
            let wait = [0, 1, 3][self.one_of(3) as usize];
            let mut lock = on(conn).lock_all(keys.iter().map(|key| self.name(*key)));
            lock = lock.timeout(Duration::from_millis(wait));
            if reentrant {
                lock = lock.reentrant();
            }
            let mut result = None;
            for _ in 0..=self.one_of(3) {
                let cancelled = self.one_of(3) == 0;
                let time = if cancelled { self.moment(900) } else { Duration::from_secs(60) };
                result = timeout(time, lock.acquire()).await.ok();
                if result.is_some() {
                    break;
                }
                self.lock(&self.seen).cancelled += 1;
            }
            match result {
                None => {}
                Some(Ok(())) => {
                    assert!(!blocked && (reentrant || !has_some), "{}: granted", self.seed);
                    self.lock(&self.seen).granted += 1;
                    let counted = self.counted(keys);
                    if depth > 0 && self.one_of(2) == 0 {
                        self.nest(lock.conn(), depth - 1, lenient).await;
                    }
                    self.end(lock, counted, lenient).await;
                    return;
                }
                Some(Err(error)) => {
                    // On a slow machine milliseconds can be over before anything is asked.
                    let late = wait > 0 && matches!(error, Error::Timeout { holder: None, .. });
                    self.judge(&error, blocked || late, has_some && !reentrant, lenient);
                }
            }
            // An acquire that came to nothing left nothing to release.
            if self.one_of(2) == 0 {
                match lock.release().await {
                    Ok(held) => assert!(!held, "{}", self.seed),
                    Err(Error::Config { .. }) if lenient => {}
                    Err(error) => panic!("{}: {error:?}", self.seed),
                }
            }
        })
    }

    fn judge(&self, error: &Error, blocked: bool, again: bool, lenient: bool) {
        let mut seen = self.lock(&self.seen);
        match error {
            Error::Timeout { .. } if blocked => seen.busy += 1,
            Error::Reentrant { .. } if again => seen.reentrant += 1,
            Error::Config { .. } if lenient => {}
            error => panic!("{}: {error:?}", self.seed),
        }
    }

    async fn end<C: Connection>(
        &self,
        lock: dlock::ConnectionLock<'_, C>,
        counted: Counted<'_>,
        lenient: bool,
    ) {
        match self.one_of(24) {
            0 => resume_unwind(Box::new(Planned)),
            1 if !lenient => {
                std::mem::forget((lock, counted));
                self.lock(&self.seen).forgotten += 1;
            }
            2..=8 => drop((lock, counted)),
            9..=12 => {
                if timeout(self.moment(400), lock.release()).await.is_err() {
                    self.lock(&self.seen).cancelled += 1;
                }
            }
            _ => match lock.release().await {
                Ok(held) => assert!(held, "{}", self.seed),
                Err(Error::Config { .. }) if lenient => {}
                Err(error) => panic!("{}: {error:?}", self.seed),
            },
        }
    }

    fn some_keys(&self) -> Vec<usize> {
        let mut keys: Vec<usize> = (0..KEYS).collect();
        let mut random = self.lock(&self.random);
        random.shuffle(&mut keys);
        keys.truncate(if random.bool() { 1 } else { random.usize(1..=3) });
        keys
    }

    fn counted(&self, keys: Vec<usize>) -> Counted<'_> {
        for key in &keys {
            self.lock(&self.held)[*key] += 1;
        }
        Counted(self, keys)
    }

    /// Says what there was, and makes sure that there was some of everything.
    pub fn tell(&self) {
        let seen = self.lock(&self.seen);
        println!("{seen:?}");
        for count in
            [seen.granted, seen.reentrant, seen.busy, seen.cancelled, seen.panicked, seen.forgotten]
        {
            assert!(count > 20, "{seen:?}");
        }
    }
}

/// The panic of a body.
struct Planned;

/// A panic becomes a value.
async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
