//! Functions that are not async, called from anywhere, never panic and never hang.

use dlock::{Error, Locker, locked};
use tokio::runtime::Builder;

use super::{is_held, memory};

#[locked(key = "k", locker = at, timeout = 20)]
fn increment(at: &Locker, counter: &mut u32) -> Result<u32, Error> {
    *counter += 1;
    Ok(*counter)
}

#[test]
fn on_a_plain_thread() {
    let at = memory("threads-plain");
    let mut counter = 0;
    assert_eq!(increment(&at, &mut counter).unwrap(), 1);
    assert!(!is_held(&at, "k"));
}

#[test]
fn inside_runtimes_of_every_flavour() {
    let at = memory("threads-runtimes");
    let mut counter = 0;
    let one = Builder::new_current_thread().build().unwrap();
    let many = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    one.block_on(async { increment(&at, &mut counter) }).unwrap();
    many.block_on(async { increment(&at, &mut counter) }).unwrap();
    let local = tokio::task::LocalSet::new();
    many.block_on(local.run_until(async { increment(&at, &mut counter) })).unwrap();
    let on = at.clone();
    let task = many.spawn(async move { increment(&on, &mut 3) });
    assert_eq!(many.block_on(task).unwrap().unwrap(), 4);
    let on = at.clone();
    let task = many.spawn_blocking(move || increment(&on, &mut 4));
    assert_eq!(many.block_on(task).unwrap().unwrap(), 5);
    assert_eq!(counter, 3);
}

#[test]
fn while_unwinding() {
    struct OnDrop(Locker);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            assert!(increment(&self.0, &mut 0).is_ok() && std::thread::panicking());
        }
    }
    let at = memory("threads-unwinding");
    let on = OnDrop(at.clone());
    let thread = std::thread::spawn(move || {
        let _on = on;
        panic!("on purpose");
    });
    let payload = thread.join().unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
    assert!(!is_held(&at, "k"));
}

#[test]
fn many_at_once_exclude_each_other() {
    static INSIDE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    #[locked(key = "k", locker = at, timeout = 60)]
    fn alone(at: &Locker) -> Result<(), Error> {
        use std::sync::atomic::Ordering::SeqCst;
        assert_eq!(INSIDE.fetch_add(1, SeqCst), 0);
        std::thread::yield_now();
        assert_eq!(INSIDE.fetch_sub(1, SeqCst), 1);
        Ok(())
    }
    let at = memory("threads-many");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..50).for_each(|_| alone(&at).unwrap()));
        }
    });
}

#[tokio::test]
#[locked(key = "threads-test", locker = "threads-test-default", on_busy = (), on_error = check)]
async fn below_tokio_test_it_is_a_plain_function() {}

fn check(error: Error) {
    assert!(matches!(error, Error::NotInstalled { .. }));
}

#[locked(key = "threads-test", locker = memory("threads-above"))]
#[tokio::test]
async fn above_tokio_test_it_is_an_async_one() -> Result<(), Error> {
    tokio::task::yield_now().await;
    Ok(())
}
