//! The lock is let go, however the body ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use dlock::{Error, Locker, locked};
use tokio::sync::oneshot;

use super::{is_held, memory, poll_once};

#[locked(key = "k", locker = at)]
async fn early(at: &Locker, how: u8) -> Result<u8, Error> {
    if how == 0 {
        return Ok(0);
    }
    if how == 1 {
        return Err(Error::Closed);
    }
    if how == 2 {
        Err(Error::Closed)?;
    }
    for n in how.. {
        if n == 5 {
            return Ok(n);
        }
    }
    unreachable!()
}

#[locked(key = "k", locker = at)]
fn early_blocking(at: &Locker, how: u8) -> Result<u8, Error> {
    if how == 0 {
        return Ok(0);
    }
    if how == 1 {
        Err(Error::Closed)?;
    }
    Ok(how)
}

#[tokio::test]
async fn returned_from_early_it_is_free() {
    let at = memory("ends-early");
    for (how, result) in [(0, Some(0)), (1, None), (2, None), (3, Some(5))] {
        assert_eq!(early(&at, how).await.ok(), result);
        assert!(!is_held(&at, "k"));
    }
    for (how, result) in [(0, Some(0)), (1, None), (2, Some(2))] {
        assert_eq!(early_blocking(&at, how).ok(), result);
        assert!(!is_held(&at, "k"));
    }
}

#[tokio::test]
async fn when_the_call_returns_it_is_free_for_others() {
    // Another locker has another engine: it does not queue behind the release.
    let (at, other) = (memory("ends-confirmed"), memory("ends-confirmed"));
    for how in [0, 1, 3].into_iter().cycle().take(300) {
        let _ = early(&at, how).await;
        assert!(!is_held(&other, "k"));
        let _ = early_blocking(&at, how);
        assert!(!is_held(&other, "k"));
    }
}

#[locked(key = "k", locker = at)]
async fn panics(at: &Locker) -> Result<(), Error> {
    panic!("on purpose")
}

#[locked(key = "k", locker = at)]
fn panics_blocking(at: &Locker) -> Result<(), Error> {
    panic!("on purpose")
}

/// Waits for a release in the background, which is no more than milliseconds away.
async fn is_freed(at: &Locker) -> bool {
    at.lock("k").timeout(Duration::from_secs(5)).acquire().await.is_ok()
}

#[tokio::test]
async fn a_panic_passes_on_and_the_lock_is_free() {
    let at = memory("ends-panic");
    let task = tokio::spawn({
        let at = at.clone();
        async move { panics(&at).await }
    });
    assert!(task.await.unwrap_err().is_panic());
    assert!(is_freed(&at).await);
    assert!(catch_unwind(AssertUnwindSafe(|| panics_blocking(&at))).is_err());
    assert!(is_freed(&at).await);
}

#[locked(key = "k", locker = at)]
async fn waits(at: &Locker, until: oneshot::Receiver<()>) -> Result<(), Error> {
    until.await.map_err(|_| Error::Closed)
}

#[tokio::test]
async fn cancelled_in_the_body_it_is_free() {
    let at = memory("ends-cancel");
    let (go, until) = oneshot::channel();
    let mut call = Box::pin(waits(&at, until));
    while !is_held(&at, "k") {
        poll_once(&mut call).await;
        tokio::task::yield_now().await;
    }
    drop(call);
    assert!(go.is_closed(), "the body is dropped with the call");
    assert!(is_freed(&at).await);
}

#[tokio::test]
async fn cancelled_while_waiting_it_takes_nothing() {
    let at = memory("ends-cancel-waiting");
    let guard = at.lock("k").acquire().await.unwrap();
    let (go, until) = oneshot::channel();
    let mut call = Box::pin(waits(&at, until));
    poll_once(&mut call).await;
    drop(call);
    assert!(go.is_closed());
    guard.release().await.unwrap();
    assert!(is_freed(&at).await);
}

#[locked(key = "k", locker = at, release = background)]
async fn not_send(at: &Locker) -> Result<Rc<u8>, Box<dyn std::error::Error>> {
    Ok(Rc::new(7))
}

#[locked(key = "k", locker = at, release = background, on_lost = ignore)]
async fn not_send_either(at: &Locker) -> Result<Rc<u8>, Box<dyn std::error::Error>> {
    Ok(Rc::new(7))
}

#[locked(key = "k", locker = at, release = background)]
fn blocking_background(at: &Locker) -> Result<u8, Error> {
    Ok(7)
}

#[tokio::test]
async fn in_the_background_the_future_is_send_though_its_output_is_not() {
    fn is_send<F: Future + Send>(future: F) -> F {
        future
    }
    let at = memory("ends-background");
    assert_eq!(*is_send(not_send(&at)).await.unwrap(), 7);
    assert!(is_freed(&at).await);
    assert_eq!(*is_send(not_send_either(&at)).await.unwrap(), 7);
    assert!(is_freed(&at).await);
    assert_eq!(blocking_background(&at).unwrap(), 7);
    assert!(is_freed(&at).await);
}

/// Says when it is dropped whether the lock was held at that time.
struct Witness {
    at: Locker,
    held: std::sync::mpsc::Sender<bool>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        // Another locker: this one would say that it is held by us.
        let other = memory("ends-parameters");
        let _ = (&self.at, self.held.send(is_held(&other, "k")));
    }
}

#[locked(key = "k", locker = _in_use.at)]
async fn owns(_in_use: Witness) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", locker = used.at)]
fn owns_blocking(used: Witness) -> Result<(), Error> {
    drop(used);
    Ok(())
}

#[tokio::test]
async fn parameters_are_dropped_under_the_lock() {
    let at = memory("ends-parameters");
    let (held, answers) = std::sync::mpsc::channel();
    owns(Witness { at: at.clone(), held: held.clone() }).await.unwrap();
    owns_blocking(Witness { at, held }).unwrap();
    assert_eq!(answers.iter().collect::<Vec<_>>(), [true, true]);
}
