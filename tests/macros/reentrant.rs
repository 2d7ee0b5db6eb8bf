//! A body that takes its own lock again would wait for itself.

use std::time::{Duration, Instant};

use dlock::{Error, Locker, locked};

use super::memory;

#[locked(key = "k:<depth.0>", locker = at, timeout = 20)]
async fn recursive(at: &Locker, depth: (u8, u8)) -> Result<u8, Error> {
    match depth.1 {
        0 => Ok(0),
        left => Box::pin(recursive(at, (depth.0, left - 1))).await,
    }
}

#[locked(key = "k:<id>", locker = at, timeout = 20)]
fn recursive_blocking(at: &Locker, id: u8, left: u8) -> Result<u8, Error> {
    if left == 0 { Ok(0) } else { recursive_blocking(at, id, left - 1) }
}

#[locked(key = "outer", locker = at)]
async fn outer(at: &Locker) -> Result<u8, Error> {
    recursive_blocking(at, 0, 0)?;
    recursive(at, (0, 0)).await
}

#[locked(key = "k", locker = at, timeout = 20)]
async fn spawning(at: &Locker, inner: Locker) -> Result<bool, Error> {
    let task = async move { inner.lock("k").try_acquire().await };
    Ok(tokio::spawn(task).await.map_err(|_| Error::Closed)??.is_none())
}

#[tokio::test]
async fn it_is_told_so_at_once() {
    let at = memory("reentrant");
    let start = Instant::now();
    assert!(matches!(recursive(&at, (1, 1)).await, Err(Error::Reentrant { .. })));
    assert!(matches!(recursive_blocking(&at, 1, 1), Err(Error::Reentrant { .. })));
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(recursive(&at, (1, 0)).await.unwrap(), 0);
    assert_eq!(recursive_blocking(&at, 1, 0).unwrap(), 0);
}

#[tokio::test]
async fn other_keys_and_tasks_are_free_to_ask() {
    let at = memory("reentrant-others");
    assert_eq!(outer(&at).await.unwrap(), 0);
    assert!(spawning(&at, at.clone()).await.unwrap());
}

/// Siblings of one task wait for each other; neither runs under the other's lock.
#[tokio::test]
async fn siblings_wait_for_each_other() {
    #[locked(key = "k", locker = at, timeout = 20)]
    async fn yields(at: &Locker) -> Result<(), Error> {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
    let at = memory("reentrant-siblings");
    let (a, b) = tokio::join!(yields(&at), yields(&at));
    a.unwrap();
    b.unwrap();
}
