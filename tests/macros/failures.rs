//! What a call returns when it fails, and how the body's own results come out.

use std::fmt;
use std::io;

use dlock::{Error, Locker, locked};

use super::{is_held, memory};

#[derive(Debug)]
enum AppError {
    Lock(Error),
    Mine(&'static str),
}

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        AppError::Lock(error)
    }
}

/// An error that knows nothing of locks.
#[derive(Debug, PartialEq)]
struct Foreign(&'static str);

type Alias<T> = Result<T, AppError>;

/// A locker whose every lock fails.
async fn closed(name: &str) -> Locker {
    let locker = memory(name);
    locker.clone().close().await;
    locker
}

#[locked(key = "k", locker = at)]
async fn application(at: &Locker, fail: bool) -> Alias<u8> {
    if fail {
        Err(AppError::Mine("no"))?;
    }
    Ok(1)
}

#[locked(key = "k", locker = at)]
fn boxed(at: &Locker) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    Ok("7".parse::<u8>()?)
}

#[locked(key = "k", locker = at)]
fn input_output(at: &Locker) -> io::Result<String> {
    std::fs::read_to_string("/there is no such file")
}

#[locked(key = "k", locker = at)]
fn formatting(at: &Locker) -> dlock::Result<Result<(), fmt::Error>> {
    Ok(Err(fmt::Error))
}

#[locked(key = "k", locker = at, on_busy = 0, on_error = |e| if e.is_lost() { 1 } else { 2 })]
async fn handled(at: &Locker) -> u8 {
    3
}

#[locked(
    key = "k",
    locker = at,
    on_busy = Err(Foreign("busy")),
    on_error = |error| {
        seen.push(error.to_string());
        Err(Foreign("lock"))
    }
)]
fn foreign(at: &Locker, seen: &mut Vec<String>) -> Result<u8, Foreign> {
    Err(Foreign("mine"))
}

fn handler(error: Error) -> Option<String> {
    Some(error.to_string())
}

#[locked(key = "k", locker = at, on_busy = None, on_error = handler)]
async fn handled_by_name(at: &Locker) -> Option<String> {
    None
}

#[tokio::test]
async fn the_bodys_own_error_comes_out_unchanged() {
    let at = memory("failures-own");
    assert!(matches!(application(&at, true).await, Err(AppError::Mine("no"))));
    assert!(!is_held(&at, "k"));
    assert!(matches!(application(&at, false).await, Ok(1)));
    assert_eq!(input_output(&at).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(matches!(formatting(&at), Ok(Err(fmt::Error))));
    assert_eq!(foreign(&at, &mut Vec::new()), Err(Foreign("mine")));
    assert_eq!(boxed(&at).unwrap(), 7);
}

#[tokio::test]
async fn a_failure_becomes_the_error_of_the_function() {
    let at = closed("failures-result").await;
    assert!(matches!(application(&at, false).await, Err(AppError::Lock(Error::Closed))));
    assert!(boxed(&at).unwrap_err().downcast_ref::<Error>().is_some());
    assert!(input_output(&at).unwrap_err().get_ref().is_some_and(|error| error.is::<Error>()));
    assert!(formatting(&at).is_err());
}

#[tokio::test]
async fn a_failure_goes_to_the_handler() {
    let at = closed("failures-handler").await;
    assert_eq!(handled(&at).await, 2);
    let mut seen = Vec::new();
    assert_eq!(foreign(&at, &mut seen), Err(Foreign("lock")));
    assert_eq!(seen, [Error::Closed.to_string()]);
    assert_eq!(handled_by_name(&at).await, Some(Error::Closed.to_string()));
}

#[tokio::test]
async fn a_busy_lock_is_not_for_the_handler() {
    let at = memory("failures-busy");
    assert_eq!(handled(&at).await, 3);
    assert_eq!(handled_by_name(&at).await, None);
    #[locked(key = "k", locker = at, timeout = 0, on_error = |e| panic!("{e}"))]
    fn default(at: &Locker) -> Result<u8, Error> {
        Ok(1)
    }
    let guard = at.lock("k").acquire().await.unwrap();
    assert!(default(&at).unwrap_err().is_timeout());
    drop(guard);
}
