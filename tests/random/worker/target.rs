//! What a call locks: one key or several, with all its options.

use std::sync::Arc;
use std::time::Duration;

use dlock::{Error, Guard, Lock, MultiGuard, MultiLock, Wait};
use dlock_tests::random::{Journal, Patience, Take, What};

use super::env::On;

/// A lock or several.
#[derive(Clone)]
pub(crate) enum Target {
    One(Lock),
    Many(MultiLock),
}

/// A guard or several in one.
pub(crate) enum Any {
    One(Guard),
    Many(MultiGuard),
}

/// The name of a key.
pub(crate) fn key(n: u8) -> String {
    format!("k{n}")
}

impl Target {
    pub(crate) fn of(on: &On, take: &Take, id: &str, journal: &Arc<Journal>) -> Self {
        let wait = match take.wait {
            Patience::No => Wait::NoWait,
            Patience::For(time) => Wait::For(Duration::from_millis(time)),
            Patience::Forever => Wait::Forever,
        };
        if take.together {
            let all = on.locker.lock_all(take.keys.iter().map(|n| key(*n))).timeout(wait);
            return Target::Many(if take.shared { all.shared() } else { all });
        }
        let mut lock = on.locker.lock(key(take.keys[0])).timeout(wait);
        if take.shared {
            lock = lock.shared();
        }
        if take.permits > 0 {
            lock = lock.permits(take.permits);
        }
        if take.min_hold > 0 {
            lock = lock.min_hold(Duration::from_millis(take.min_hold));
        }
        if take.reentrant {
            lock = lock.reentrant();
        }
        if take.on_lost {
            // Nothing of the lockers: they would never end.
            let (id, journal) = (id.to_owned(), Arc::clone(journal));
            lock = lock.on_lost(move |_| journal.write(&id, &What::Callback));
        }
        if take.fenced {
            lock = lock.fenced();
        }
        if take.owner {
            lock = lock.owner(&on.label);
        }
        if take.ttl > 0 {
            lock = lock.ttl(Duration::from_millis(take.ttl));
        }
        if take.no_renew {
            lock = lock.auto_renew(false);
        }
        if take.retry > 0 {
            lock = lock.retry_every(Duration::from_millis(take.retry));
        }
        Target::One(lock)
    }

    pub(crate) async fn get(&self, once: bool) -> Result<Option<Any>, Error> {
        Ok(match self {
            Target::One(lock) if once => lock.try_acquire().await?.map(Any::One),
            Target::One(lock) => Some(Any::One(lock.acquire().await?)),
            Target::Many(lock) if once => lock.try_acquire().await?.map(Any::Many),
            Target::Many(lock) => Some(Any::Many(lock.acquire().await?)),
        })
    }

    pub(crate) fn get_blocking(&self, once: bool) -> Result<Option<Any>, Error> {
        Ok(match self {
            Target::One(lock) if once => lock.try_acquire_blocking()?.map(Any::One),
            Target::One(lock) => Some(Any::One(lock.acquire_blocking()?)),
            Target::Many(lock) if once => lock.try_acquire_blocking()?.map(Any::Many),
            Target::Many(lock) => Some(Any::Many(lock.acquire_blocking()?)),
        })
    }
}

/// A guard as it is looked at while it is held.
pub(crate) trait Look: Sync {
    fn lost(&self) -> bool;
    fn token(&self) -> Option<u64>;
    fn ask(&self) -> impl Future<Output = Result<(), Error>> + Send;
    fn keep<F: Future<Output = ()> + Send>(
        &self,
        body: F,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Look for Guard {
    fn lost(&self) -> bool {
        self.is_lost()
    }

    fn token(&self) -> Option<u64> {
        self.fence()
    }

    async fn ask(&self) -> Result<(), Error> {
        self.verify().await
    }

    async fn keep<F: Future<Output = ()> + Send>(&self, body: F) -> Result<(), Error> {
        self.protect(body).await
    }
}

impl Look for MultiGuard {
    fn lost(&self) -> bool {
        self.is_lost()
    }

    fn token(&self) -> Option<u64> {
        None
    }

    async fn ask(&self) -> Result<(), Error> {
        self.verify().await
    }

    async fn keep<F: Future<Output = ()> + Send>(&self, body: F) -> Result<(), Error> {
        self.protect(body).await
    }
}

impl Look for Any {
    fn lost(&self) -> bool {
        match self {
            Any::One(guard) => Look::lost(guard),
            Any::Many(guard) => Look::lost(guard),
        }
    }

    fn token(&self) -> Option<u64> {
        match self {
            Any::One(guard) => guard.token(),
            Any::Many(guard) => guard.token(),
        }
    }

    async fn ask(&self) -> Result<(), Error> {
        match self {
            Any::One(guard) => guard.ask().await,
            Any::Many(guard) => guard.ask().await,
        }
    }

    async fn keep<F: Future<Output = ()> + Send>(&self, body: F) -> Result<(), Error> {
        match self {
            Any::One(guard) => guard.keep(body).await,
            Any::Many(guard) => guard.keep(body).await,
        }
    }
}

impl Any {
    pub(crate) async fn release(self) -> Result<(), Error> {
        match self {
            Any::One(guard) => guard.release().await,
            Any::Many(guard) => guard.release().await,
        }
    }

    pub(crate) fn release_blocking(self) -> Result<(), Error> {
        match self {
            Any::One(guard) => guard.release_blocking(),
            Any::Many(guard) => guard.release_blocking(),
        }
    }

    pub(crate) fn leak(self) {
        match self {
            Any::One(guard) => guard.leak(),
            // It has no leak; to forget it comes to the same.
            Any::Many(guard) => std::mem::forget(guard),
        }
    }
}
