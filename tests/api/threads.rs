//! Threads of every kind: those that are ending, and those that the engine needs.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use dlock::{Error, Locker, Result};
use tokio::runtime::{Builder, Handle};
use tokio::task::spawn_blocking;

const SOON: Duration = Duration::from_secs(5);

/// Takes locks in each way as its thread ends.
struct AtTheEnd(Locker, Sender<Result<()>>);

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.1.send(take_all(&self.0)).unwrap();
    }
}

fn take_all(locker: &Locker) -> Result<()> {
    let lock = locker.lock("k").timeout(SOON);
    lock.acquire_blocking()?.release_blocking()?;
    drop(lock.try_acquire_blocking()?);
    lock.run_blocking(|_| locker.lock("inner").run_blocking(|_| ()))??;
    locker.lock_all(["a", "b"]).timeout(SOON).run_blocking(|_| ())?;
    locker.lock("p").permits(3).timeout(SOON).run_blocking(|_| ())?;
    drop(locker.lock("dropped").acquire_blocking()?);
    Ok(())
}

thread_local! {
    static LAST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

/// A destructor that panics aborts the process.
#[test]
fn that_are_ending_take_locks() {
    let locker = Locker::connect_blocking("memory:threads-end").unwrap();
    for used_before in [false, true] {
        let (tell, told): (_, Receiver<Result<()>>) = channel();
        let ending = locker.clone();
        let ended = thread::spawn(move || {
            // What was first used first goes last.
            if used_before {
                LAST.with_borrow_mut(|_| ());
            }
            take_all(&ending).unwrap();
            LAST.with_borrow_mut(|last| *last = Some(AtTheEnd(ending, tell)));
        });
        ended.join().unwrap();
        told.recv().unwrap().unwrap();
    }
    take_all(&locker).unwrap();
}

fn is_refused(result: Result<()>, asked: Instant) {
    assert!(matches!(result, Err(Error::Config { .. })), "{result:?}");
    assert!(asked.elapsed() < SOON, "only after {:?}", asked.elapsed());
}

/// tokio's default on a machine with one CPU.
#[test]
fn only_worker_of_the_engines_runtime_is_not_blocked() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let builder = || Locker::builder("memory:threads-one").runtime(Handle::current());
    runtime.block_on(async {
        // On a thread that is none of the runtime's workers.
        let locker = builder().connect_blocking().unwrap();
        take_all(&locker).unwrap();
        let other = locker.clone();
        spawn_blocking(move || take_all(&other)).await.unwrap().unwrap();
        // On the one that the engine is on.
        let inside = tokio::spawn(async move {
            let asked = Instant::now();
            is_refused(builder().connect_blocking().map(drop), asked);
            is_refused(locker.lock("k").acquire_blocking().map(drop), asked);
            let guard = locker.lock("k").acquire().await.unwrap();
            is_refused(guard.release_blocking(), asked);
            locker.lock("k").run(async |_| ()).await
        });
        inside.await.unwrap().unwrap();
    });
}

/// Its blocking threads are not what the engine runs on.
#[test]
fn blocking_ones_of_a_current_thread_runtime_may_block() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ended = spawn_blocking(|| {
            let builder = Locker::builder("memory:threads-current").runtime(Handle::current());
            let locker = builder.connect_blocking()?;
            take_all(&locker)?;
            let guard = locker.lock("k").acquire_blocking()?;
            guard.release_blocking()?;
            locker.close_blocking();
            Ok::<_, Error>(())
        });
        ended.await.unwrap().unwrap();
        let handle = Handle::current();
        let entered = thread::spawn(move || {
            let _entered = handle.enter();
            take_all(
                &Locker::builder("memory:threads-entered")
                    .runtime(handle.clone())
                    .connect_blocking()?,
            )
        });
        spawn_blocking(move || entered.join().unwrap()).await.unwrap().unwrap();
    });
}

/// It has nothing to do with forks.
#[test]
fn runtime_without_timers_says_so() {
    for workers in [0, 1] {
        let mut builder = match workers {
            0 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        let runtime = builder.build().unwrap();
        runtime.block_on(async {
            let builder = Locker::builder("memory:threads-timers").runtime(Handle::current());
            let error = builder.connect().await.unwrap_err();
            assert!(matches!(error, Error::Config { .. }), "{error}");
            assert!(error.to_string().contains("enable_all"), "{error}");
        });
    }
}
