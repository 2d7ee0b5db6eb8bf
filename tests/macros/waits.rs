//! How long a call waits, and what it returns when that was in vain.

use std::time::{Duration, Instant};

use dlock::{Error, Locker, Wait, locked};

use super::memory;

/// What would wait for the default timeout takes much longer, on a busy machine too.
const LATE: Duration = Duration::from_secs(10);

/// A call that finds its lock held, timed.
macro_rules! in_vain {
    ($call:expr) => {{
        let start = Instant::now();
        let result = $call;
        (result, start.elapsed())
    }};
}

#[locked(key = "k", locker = at, timeout = 0)]
async fn one_try(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", locker = at, timeout = 0.3)]
async fn a_fraction(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", locker = at, timeout = "300ms")]
fn a_text(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", locker = at, timeout = Duration::from_millis(millis))]
async fn an_expression(at: &Locker, millis: u64) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", locker = at, timeout = wait)]
fn a_wait(at: &Locker, wait: Wait) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", locker = at, timeout = none)]
async fn for_ever(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", locker = at)]
async fn as_the_locker_says(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[tokio::test]
async fn a_timeout_is_kept() {
    let at = memory("waits-timeouts");
    let short = Locker::builder("memory:waits-timeouts").timeout(Duration::from_millis(300));
    let short = short.connect().await.unwrap();
    let guard = at.lock("k").acquire().await.unwrap();
    let (result, time) = in_vain!(one_try(&at).await);
    assert!(result.is_err_and(|error| error.is_timeout()));
    // It waits for nobody.
    assert!(time < LATE, "{time:?}");
    for (result, time) in [
        in_vain!(a_fraction(&at).await),
        in_vain!(a_text(&at)),
        in_vain!(an_expression(&at, 300).await),
        in_vain!(a_wait(&at, Wait::For(Duration::from_millis(300)))),
        in_vain!(as_the_locker_says(&short).await),
    ] {
        assert!(result.is_err_and(|error| error.is_timeout()));
        let range = Duration::from_millis(300)..LATE;
        assert!(range.contains(&time), "{time:?}");
    }
    let waiting = tokio::spawn({
        let at = at.clone();
        async move { for_ever(&at).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(guard);
    waiting.await.unwrap().unwrap();
}

#[locked(key = "k", locker = at, on_busy = skip)]
async fn skip_alone(at: &Locker) -> Result<bool, Error> {
    Ok(true)
}

#[locked(keys = ["k"], locker = at, on_busy = skip, on_error = |error| panic!("{error}"))]
fn skip_of_several(at: &Locker) -> bool {
    true
}

#[locked(key = "k", locker = at, on_busy = skip, timeout = 30)]
async fn skip_late(at: &Locker) -> Result<bool, Error> {
    Ok(true)
}

/// A second click does not wait until the first one is done, to do the same again.
#[tokio::test]
async fn skip_alone_is_one_try() {
    let at = memory("waits-skip");
    let guard = at.lock("k").acquire().await.unwrap();
    let (ran, time) = in_vain!(skip_alone(&at).await);
    assert!(!ran.unwrap() && time < LATE, "{time:?}");
    let (ran, time) = in_vain!(skip_of_several(&at));
    assert!(!ran && time < LATE, "{time:?}");
    // One that is told to, waits.
    let waiting = tokio::spawn({
        let at = at.clone();
        async move { skip_late(&at).await }
    });
    tokio::task::yield_now().await;
    guard.release().await.unwrap();
    assert!(waiting.await.unwrap().unwrap());
    assert!(skip_alone(&at).await.unwrap() && skip_of_several(&at));
}

#[locked(key = "k", locker = at, timeout = 0, on_busy = error)]
async fn busy_is_an_error(at: &Locker) -> Result<u8, Error> {
    Ok(1)
}

#[locked(key = "k", locker = at, timeout = 0, on_busy = skip)]
async fn busy_is_skipped(at: &Locker) -> Result<u8, Error> {
    Ok(1)
}

#[locked(key = "k", locker = at, timeout = 0, on_busy = skip, on_error = |_| None)]
fn busy_is_none(at: &Locker) -> Option<u8> {
    Some(1)
}

#[locked(key = "k", locker = at, timeout = 0, on_busy = skip, on_error = |error| panic!("{error}"))]
async fn busy_is_nothing(at: &Locker, ran: &mut bool) {
    *ran = true;
}

#[locked(key = "k", locker = at, timeout = 0, on_busy = Err(format!("{name} is busy").into()))]
async fn busy_is_mine(at: &Locker, name: String) -> Result<String, Box<dyn std::error::Error>> {
    Ok(name)
}

#[locked(key = "k", locker = at, timeout = 0, on_busy = if skip { Ok(2) } else { Ok(3) })]
fn busy_is_an_expression(at: &Locker, skip: bool) -> Result<u8, Error> {
    Ok(1)
}

#[tokio::test]
async fn a_busy_lock_is_what_it_is_said_to_be() {
    let at = memory("waits-busy");
    let guard = at.lock("k").acquire().await.unwrap();
    let mut ran = false;
    assert!(busy_is_an_error(&at).await.is_err_and(|error| error.is_timeout()));
    assert_eq!(busy_is_skipped(&at).await.unwrap(), 0);
    assert_eq!(busy_is_none(&at), None);
    busy_is_nothing(&at, &mut ran).await;
    assert!(!ran);
    let mine = busy_is_mine(&at, "it".to_owned()).await.unwrap_err();
    assert_eq!(mine.to_string(), "it is busy");
    assert_eq!(busy_is_an_expression(&at, true).unwrap(), 2);
    guard.release().await.unwrap();
    assert_eq!(busy_is_an_error(&at).await.unwrap(), 1);
    assert_eq!(busy_is_skipped(&at).await.unwrap(), 1);
    assert_eq!(busy_is_none(&at), Some(1));
    busy_is_nothing(&at, &mut ran).await;
    assert!(ran);
    assert_eq!(busy_is_mine(&at, "it".to_owned()).await.unwrap(), "it");
    assert_eq!(busy_is_an_expression(&at, true).unwrap(), 1);
}
