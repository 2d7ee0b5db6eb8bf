//! A caller that asks for a lock while the locker, or its runtime, ends gets an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dlock::{Error, Locker};
use dlock_tests::{limited, unique};

const LIMIT: Duration = Duration::from_secs(120);
const ROUNDS: u32 = 1500;
const THREADS: usize = 3;

/// Takes and releases until it is told that there is nothing more.
fn take_until_closed(locker: &Locker, go: &AtomicBool, n: usize) {
    let lock = locker.lock(n as u64).timeout(Duration::from_secs(60));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    while !go.load(Ordering::Acquire) {
        std::hint::spin_loop();
    }
    runtime.block_on(async {
        loop {
            match lock.acquire().await {
                Ok(guard) => drop(guard),
                Err(Error::Closed) => return,
                Err(error) => panic!("{error}"),
            }
        }
    });
}

/// Many acquires while this ends the locker's engine.
fn race(locker: &Locker, end: impl FnOnce()) {
    let go = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..THREADS {
            scope.spawn({
                let go = &go;
                move || take_until_closed(locker, go, n)
            });
        }
        go.store(true, Ordering::Release);
        let until = Instant::now() + Duration::from_micros(fastrand::u64(0..300));
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        end();
    });
}

#[test]
fn acquire_that_races_close_has_an_answer() {
    limited(LIMIT, || {
        for _ in 0..ROUNDS {
            let locker = Locker::connect_blocking(&format!("memory:{}", unique("race"))).unwrap();
            race(&locker, || locker.clone().close_blocking());
        }
    });
}

#[test]
fn acquire_that_races_the_end_of_the_runtime_has_an_answer() {
    limited(LIMIT, || {
        for _ in 0..ROUNDS / 3 {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
            let builder = Locker::builder(&format!("memory:{}", unique("race")));
            let builder = builder.runtime(runtime.handle().clone());
            let locker = runtime.block_on(builder.connect()).unwrap();
            race(&locker, || runtime.shutdown_background());
        }
    });
}

/// The first one closes, and nobody comes back before that is done.
#[test]
fn close_by_several_at_once_is_closed_for_all() {
    limited(LIMIT, || {
        for _ in 0..100 {
            let url = format!("memory:{}", unique("race"));
            let locker = Locker::connect_blocking(&url).unwrap();
            let other = Locker::connect_blocking(&url).unwrap();
            locker.lock("k").acquire_blocking().unwrap().leak();
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        locker.clone().close_blocking();
                        drop(other.lock("k").acquire_blocking().unwrap());
                    });
                }
            });
        }
    });
}
