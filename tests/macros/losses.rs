//! What a call comes to when the lock is lost under it. Closing the locker takes it away.

use dlock::{Error, Locker, locked};
use tokio::sync::oneshot;

use super::memory;

async fn lose(at: &Locker) {
    at.clone().close().await;
}

#[locked(key = "k", locker = at)]
async fn cancelled(at: &Locker, alive: oneshot::Sender<()>) -> Result<u8, Error> {
    lose(at).await;
    std::future::pending::<()>().await;
    drop(alive);
    Ok(1)
}

#[tokio::test]
async fn an_async_body_is_dropped_at_its_next_await() {
    let (alive, dropped) = oneshot::channel();
    let result = cancelled(&memory("losses-cancel"), alive).await;
    assert!(result.is_err_and(|error| error.is_lost()));
    assert!(dropped.await.is_err());
}

#[locked(key = "k", locker = at, on_lost = report)]
async fn reported(at: &Locker, end: Result<u8, Error>, ended: &mut bool) -> Result<u8, Error> {
    lose(at).await;
    tokio::task::yield_now().await;
    *ended = true;
    end
}

#[locked(key = "k", locker = at)]
fn reported_blocking(at: &Locker, end: Result<u8, Error>, ended: &mut bool) -> Result<u8, Error> {
    at.clone().close_blocking();
    *ended = true;
    end
}

#[tokio::test]
async fn reported_it_is_the_error_of_a_body_that_has_none() {
    let mut ended = false;
    let result = reported(&memory("losses-report"), Ok(1), &mut ended).await;
    assert!(result.is_err_and(|error| error.is_lost()));
    assert!(std::mem::take(&mut ended));
    let result = reported_blocking(&memory("losses-report-blocking"), Ok(1), &mut ended);
    assert!(result.is_err_and(|error| error.is_lost()));
    assert!(ended);
}

#[tokio::test]
async fn the_bodys_own_error_goes_first() {
    let mut ended = false;
    let result = reported(&memory("losses-own"), Err(Error::Closed), &mut ended).await;
    assert!(matches!(result, Err(Error::Closed)));
    let result = reported_blocking(&memory("losses-own-blocking"), Err(Error::Closed), &mut ended);
    assert!(matches!(result, Err(Error::Closed)));
}

#[locked(key = "k", locker = at, guard = lock)]
async fn own_error_of_a_loss(at: &Locker) -> Result<u8, Box<dyn std::error::Error>> {
    at.clone().close_blocking();
    // No await between the loss and the end.
    if lock.is_lost() {
        return Err("the body saw it".into());
    }
    Ok(1)
}

#[tokio::test]
async fn the_bodys_own_error_goes_first_though_it_could_be_cancelled() {
    let result = own_error_of_a_loss(&memory("losses-race")).await;
    assert_eq!(result.unwrap_err().to_string(), "the body saw it");
}

#[locked(key = "k", locker = at, on_lost = ignore)]
async fn ignored(at: &Locker, name: String) -> Result<String, Error> {
    lose(at).await;
    tokio::task::yield_now().await;
    Ok(name)
}

#[locked(key = "k", locker = at, on_lost = ignore, on_busy = skip, on_error = |_| name)]
fn ignored_blocking(at: &Locker, name: String) -> String {
    at.clone().close_blocking();
    name + "!"
}

#[tokio::test]
async fn ignored_it_is_nothing() {
    let name = || "Ada".to_owned();
    assert_eq!(ignored(&memory("losses-ignore"), name()).await.unwrap(), "Ada");
    assert_eq!(ignored_blocking(&memory("losses-ignore-blocking"), name()), "Ada!");
}

#[locked(key = "k", locker = at, on_busy = 0, on_error = |error| 1 + u8::from(error.is_lost()))]
async fn no_result(at: &Locker) -> u8 {
    lose(at).await;
    tokio::task::yield_now().await;
    9
}

#[locked(key = "k", locker = at, on_busy = Err(0), on_error = |_| Err(1))]
fn foreign_result(at: &Locker, end: Result<(), u8>) -> Result<(), u8> {
    at.clone().close_blocking();
    end
}

#[tokio::test]
async fn the_handler_has_it_where_the_function_has_no_room() {
    assert_eq!(no_result(&memory("losses-no-result")).await, 2);
    assert_eq!(foreign_result(&memory("losses-foreign"), Ok(())), Err(1));
    assert_eq!(foreign_result(&memory("losses-foreign-own"), Err(2)), Err(2));
}

#[locked(key = "k", locker = at, reentrant, on_lost = report)]
async fn nested(at: &Locker, started: &mut bool) -> Result<(), Error> {
    *started = true;
    Ok(())
}

#[locked(key = "k", locker = at, reentrant, on_lost = ignore)]
fn nested_blocking(at: &Locker, started: &mut bool) -> Result<(), Error> {
    *started = true;
    Ok(())
}

#[locked(key = "k", locker = at, reentrant, on_lost = ignore)]
async fn nests_after_a_loss(at: &Locker, started: &mut bool) -> Result<(), Error> {
    nested(at, started).await?;
    assert!(std::mem::take(started));
    lose(at).await;
    for ended in [nested(at, started).await, nested_blocking(at, started)] {
        assert!(ended.is_err_and(|error| error.is_lost()));
    }
    Ok(())
}

#[tokio::test]
async fn no_body_starts_under_a_lost_lock() {
    let mut started = false;
    nests_after_a_loss(&memory("losses-nested"), &mut started).await.unwrap();
    assert!(!started);
}
