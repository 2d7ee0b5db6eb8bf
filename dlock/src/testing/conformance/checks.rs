//! The checks: each is named after what is promised.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Outcome;
use crate::error::Error;
use crate::lock::Lock;
use crate::lock::guard::Guard;
use crate::lock::join::join_all;
use crate::locker::Locker;
use crate::random::random;

type Checked = Result<(), Outcome>;
type Check = for<'a> fn(&'a Space<'a>) -> Pin<Box<dyn Future<Output = Checked> + 'a>>;

/// Something that comes soon comes within this time, on a busy machine too.
const SOON: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(10);
/// How long a call may take that does not wait for holders.
const TRY_TIME_MAX: Duration = Duration::from_secs(5);

/// Clients of one space of locks.
pub(super) struct Space<'a> {
    a: &'a Locker,
    b: &'a Locker,
    c: &'a Locker,
    prefix: String,
}

macro_rules! checks {
    ($($name:ident,)*) => {
        pub(super) const CHECKS: &[(&str, Check)] =
            &[$((stringify!($name), |space| Box::pin($name(space)))),*];
    };
}

checks! {
    a_held_lock_is_refused_to_others,
    other_keys_are_free,
    different_keys_are_different_locks,
    all_clients_together_exclude_each_other,
    a_waiter_gets_the_lock_after_the_release,
    a_wait_ends_with_its_timeout,
    a_dropped_guard_frees_the_lock,
    a_cancelled_call_leaves_nothing_held,
    nested_calls_are_refused_at_once,
    several_keys_are_taken_all_or_none,
    permits_are_no_more_than_there_are,
    readers_share_and_keep_writers_out,
    readers_do_not_pass_a_writer_who_waits,
    fencing_tokens_grow,
    status_shows_the_holder,
    a_loss_is_told_to_the_holder,
    a_closed_locker_frees_its_locks,
}

impl<'a> Space<'a> {
    pub(super) fn new([a, b, c]: [&'a Locker; 3]) -> Self {
        let prefix = format!("dlock-conformance/{:x}/", u128::from_le_bytes(random()));
        Space { a, b, c, prefix }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The lock of this key, of each client.
    fn locks(&self, name: &str) -> [Lock; 3] {
        [self.a, self.b, self.c].map(|client| client.lock(self.key(name)).timeout(SOON))
    }

    async fn pause(&self, time: Duration) -> Checked {
        Ok(self.a.core().engine().sleep(time).await?)
    }

    /// Tries again and again until it is granted.
    async fn soon(&self, lock: &Lock, what: &str) -> Result<Guard, Outcome> {
        let began = Instant::now();
        while began.elapsed() < SOON {
            if let Some(guard) = lock.try_acquire().await? {
                return Ok(guard);
            }
            self.pause(PAUSE).await?;
        }
        Err(Outcome::Failed(format!("{what}: it is not granted within {SOON:?}")))
    }
}

fn ensure(kept: bool, broken: impl Into<String>) -> Checked {
    if kept { Ok(()) } else { Err(Outcome::Failed(broken.into())) }
}

async fn refused(lock: &Lock, broken: &str) -> Checked {
    ensure(lock.try_acquire().await?.is_none(), broken)
}

async fn a_held_lock_is_refused_to_others(space: &Space<'_>) -> Checked {
    let [a, b, _] = space.locks("held");
    let guard = a.acquire().await?;
    let began = Instant::now();
    refused(&b, "another client got a lock that was held").await?;
    refused(&a, "the same client got a lock twice").await?;
    ensure(began.elapsed() < TRY_TIME_MAX * 2, "a try has waited")?;
    guard.verify().await?;
    guard.release().await?;
    space.soon(&b, "after the release").await?.release().await?;
    Ok(())
}

async fn other_keys_are_free(space: &Space<'_>) -> Checked {
    let ([a, ..], [_, b, _]) = (space.locks("one"), space.locks("other"));
    let guard = a.acquire().await?;
    let other = b.try_acquire().await?;
    ensure(other.is_some(), "another key was refused")?;
    Ok(guard.release().await?)
}

async fn different_keys_are_different_locks(space: &Space<'_>) -> Checked {
    let long = "x".repeat(300);
    let names = ["a", "A", "a ", "ä", "a%", "a%25", &format!("{long}1"), &format!("{long}2")];
    let mut held = Vec::new();
    for name in names {
        let guard = space.locks(name)[0].try_acquire().await?;
        let busy = || Outcome::Failed(format!("the key ending in {name:?} is another one's lock"));
        held.push(guard.ok_or_else(busy)?);
    }
    for name in names {
        refused(&space.locks(name)[1], "a client got a lock that was held").await?;
    }
    for guard in held {
        guard.release().await?;
    }
    Ok(())
}

async fn all_clients_together_exclude_each_other(space: &Space<'_>) -> Checked {
    const ROUNDS: u32 = 10;
    let (count, inside, overlapped) =
        (AtomicU32::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let workers = space.locks("counter").into_iter().flat_map(|lock| [lock.clone(), lock]);
    let workers: Vec<_> = workers.map(|lock| lock.timeout(SOON * 3)).collect();
    let work = async |lock: &Lock| -> Checked {
        for _ in 0..ROUNDS {
            let guard = lock.acquire().await?;
            if inside.swap(true, Ordering::SeqCst) {
                overlapped.store(true, Ordering::SeqCst);
            }
            let before = count.load(Ordering::SeqCst);
            space.pause(Duration::from_millis(1)).await?;
            count.store(before + 1, Ordering::SeqCst);
            inside.store(false, Ordering::SeqCst);
            guard.release().await?;
        }
        Ok(())
    };
    let done = join_all(None, workers.iter().map(work)).await;
    ensure(!overlapped.load(Ordering::SeqCst), "two clients were inside at the same time")?;
    let counted = count.load(Ordering::SeqCst);
    ensure(counted == ROUNDS * 6, format!("{counted} of {} were counted", ROUNDS * 6))?;
    done.into_iter().collect()
}

async fn a_waiter_gets_the_lock_after_the_release(space: &Space<'_>) -> Checked {
    let [a, b, _] = space.locks("waited");
    let guard = a.acquire().await?;
    let release = async {
        space.pause(SHORT).await?;
        Ok::<_, Outcome>(guard.release().await?)
    };
    let (waited, released) = tokio::join!(b.acquire(), release);
    released?;
    Ok(waited?.release().await?)
}

async fn a_wait_ends_with_its_timeout(space: &Space<'_>) -> Checked {
    let [a, b, _] = space.locks("timeout");
    let guard = a.acquire().await?;
    let began = Instant::now();
    match b.timeout(SHORT).acquire().await {
        Err(Error::Timeout { .. }) => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return ensure(false, "another client got a lock that was held"),
    }
    let waited = began.elapsed();
    let in_time = waited >= SHORT && waited < SHORT + TRY_TIME_MAX;
    ensure(in_time, format!("a timeout of {SHORT:?} came after {waited:?}"))?;
    Ok(guard.release().await?)
}

async fn a_dropped_guard_frees_the_lock(space: &Space<'_>) -> Checked {
    let [a, b, _] = space.locks("dropped");
    drop(a.acquire().await?);
    Ok(space.soon(&b, "after the drop").await?.release().await?)
}

async fn a_cancelled_call_leaves_nothing_held(space: &Space<'_>) -> Checked {
    let [a, b, c] = space.locks("cancelled");
    for held in [true, false] {
        let guard = if held { Some(a.acquire().await?) } else { None };
        for n in 0..20 {
            tokio::select! {
                biased;
                taken = b.acquire() => {
                    drop(taken?);
                    ensure(!held, "another client got a lock that was held")?;
                }
                // Some before the call has reached the server, some after.
                paused = space.pause(Duration::from_micros(n * 250)) => paused?,
            }
        }
        drop(guard);
        space.soon(&c, "after calls that were cancelled").await?.release().await?;
    }
    Ok(())
}

async fn nested_calls_are_refused_at_once(space: &Space<'_>) -> Checked {
    let [a, ..] = space.locks("nested");
    let nested = a.run(async |_| a.acquire().await).await?;
    ensure(matches!(nested, Err(Error::Reentrant { .. })), "a nested call was not refused")
}

async fn several_keys_are_taken_all_or_none(space: &Space<'_>) -> Checked {
    let keys = ["first", "second"].map(|name| space.key(name));
    let [_, b, _] = space.locks("second");
    let guard = b.acquire().await?;
    let all = space.a.lock_all(&keys);
    ensure(all.try_acquire().await?.is_none(), "it got a lock that was held")?;
    let [_, _, c] = space.locks("first");
    space.soon(&c, "the other key of a refused call").await?.release().await?;
    guard.release().await?;
    let guards = all.timeout(SOON).acquire().await?;
    refused(&b, "another client got one of several locks that were held").await?;
    Ok(guards.release().await?)
}

async fn permits_are_no_more_than_there_are(space: &Space<'_>) -> Checked {
    let [a, b, c] = space.locks("permits").map(|lock| lock.permits(2));
    let (first, second) = (a.acquire().await?, b.acquire().await?);
    refused(&c, "a third client got one of two permits").await?;
    first.release().await?;
    space.soon(&c, "a permit that was released").await?.release().await?;
    Ok(second.release().await?)
}

async fn readers_share_and_keep_writers_out(space: &Space<'_>) -> Checked {
    let [a, b, writer] = space.locks("shared");
    let (a, b) = (a.shared(), b.shared());
    let first = a.acquire().await?;
    let second = space.soon(&b, "a second reader").await?;
    refused(&writer, "a writer got a lock that was read").await?;
    first.release().await?;
    refused(&writer, "a writer got a lock that was still read").await?;
    second.release().await?;
    let written = space.soon(&writer, "a writer, after the readers").await?;
    refused(&a, "a reader got a lock that was written").await?;
    Ok(written.release().await?)
}

async fn readers_do_not_pass_a_writer_who_waits(space: &Space<'_>) -> Checked {
    let [a, writer, late] = space.locks("queue");
    let reader = a.shared().acquire().await?;
    let later = async {
        space.pause(SHORT).await?;
        refused(&late.shared(), "a reader has passed a writer who waited").await?;
        Ok::<_, Outcome>(reader.release().await?)
    };
    let (written, later) = tokio::join!(writer.acquire(), later);
    later?;
    Ok(written?.release().await?)
}

async fn fencing_tokens_grow(space: &Space<'_>) -> Checked {
    let mut last = None;
    for lock in space.locks("fenced").into_iter().cycle().take(6) {
        let guard = lock.fenced().acquire().await?;
        let fence = guard.fence();
        ensure(fence > last, format!("the token {fence:?} came after {last:?}"))?;
        last = fence;
        guard.release().await?;
    }
    Ok(())
}

async fn status_shows_the_holder(space: &Space<'_>) -> Checked {
    let [a, ..] = space.locks("status");
    let native = space.b.explain(a.key()).native;
    let guard = a.acquire().await?;
    let status = space.b.status().await?;
    let shown = status.iter().any(|lock| lock.native == native && !lock.holders.is_empty());
    ensure(shown, "status does not show a lock that is held")?;
    Ok(guard.release().await?)
}

async fn a_loss_is_told_to_the_holder(space: &Space<'_>) -> Checked {
    let [a, _, c] = space.locks("lost");
    let guard = a.acquire().await?;
    match space.b.break_lock(a.key()).await {
        Ok(broken) => ensure(broken, "nobody was found who holds it")?,
        // It takes a right that locks do not.
        Err(error @ Error::Permission { .. }) => return Err(Outcome::Skipped(error.to_string())),
        Err(error) => return Err(error.into()),
    }
    guard.lost().await;
    ensure(guard.is_lost(), "the guard does not know of its loss")?;
    let released = guard.release().await;
    ensure(matches!(released, Err(Error::Lost { .. })), "its release does not tell the loss")?;
    Ok(space.soon(&c, "after the loss").await?.release().await?)
}

async fn a_closed_locker_frees_its_locks(space: &Space<'_>) -> Checked {
    let engines = [space.a, space.b, space.c].map(|client| client.core().engine().id());
    if engines[2] == engines[0] || engines[2] == engines[1] {
        let why = "the clients are clones of one locker, and would be closed with it";
        return Err(Outcome::Skipped(why.to_owned()));
    }
    let [a, _, c] = space.locks("closed");
    let guard = c.acquire().await?;
    space.c.clone().close().await;
    ensure(guard.is_lost(), "a guard does not know that its locker was closed")?;
    Ok(space.soon(&a, "after the close").await?.release().await?)
}
