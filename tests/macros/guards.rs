//! `guard = lock`: the guard is the body's own.

use dlock::{Error, Guard, Key, Locker, locked};

use super::{is_held, memory};

#[locked(key = "k", locker = at, guard = lock)]
async fn asked(at: &Locker) -> Result<(Key, bool), Error> {
    lock.verify().await?;
    Ok((lock.key().clone(), lock.is_lost()))
}

#[locked(key = "k", locker = at, guard = lock)]
async fn dropped(at: &Locker) -> Result<bool, Error> {
    drop(lock);
    at.lock("k").acquire().await?.release().await?;
    Ok(is_held(at, "k"))
}

#[locked(key = "k", locker = at, guard = lock)]
async fn released(at: &Locker) -> Result<bool, Error> {
    lock.release().await?;
    Ok(is_held(at, "k"))
}

#[locked(key = "k", locker = at, guard = lock)]
fn released_blocking(at: &Locker) -> Result<bool, Error> {
    lock.release_blocking()?;
    Ok(is_held(at, "k"))
}

#[locked(key = "k", locker = at, guard = lock)]
async fn returned(at: &Locker) -> Result<Guard, Error> {
    Ok(lock)
}

#[locked(key = "k", locker = at, guard = lock)]
fn returned_blocking(at: &Locker) -> Result<Guard, Error> {
    Ok(lock)
}

#[locked(key = "k", locker = at, guard = lock)]
async fn moved_into_a_task(at: &Locker) -> Result<tokio::task::JoinHandle<Key>, Error> {
    Ok(tokio::spawn(async move { lock.key().clone() }))
}

#[locked(key = "k", locker = at, guard = mut lock)]
async fn changed(at: &Locker) -> Result<(), Error> {
    let next = at.lock("another").acquire().await?;
    lock = next;
    lock.release().await
}

#[tokio::test]
async fn it_can_be_asked() {
    let at = memory("guards-asked");
    assert_eq!(asked(&at).await.unwrap(), (Key::from("k"), false));
    assert!(!is_held(&at, "k"));
}

#[tokio::test]
async fn it_can_be_let_go_of_early() {
    let at = memory("guards-early");
    assert!(!dropped(&at).await.unwrap());
    assert!(!released(&at).await.unwrap());
    assert!(!released_blocking(&at).unwrap());
    changed(&at).await.unwrap();
    assert!(!is_held(&at, "k"));
}

#[tokio::test]
async fn it_can_outlive_the_body() {
    let at = memory("guards-outlive");
    for guard in [returned(&at).await.unwrap(), {
        let guard = returned(&memory("guards-outlive-blocking")).await.unwrap();
        guard.release().await.unwrap();
        returned_blocking(&memory("guards-outlive-blocking")).unwrap()
    }] {
        assert!(!guard.is_lost());
        guard.release().await.unwrap();
    }
    let task = moved_into_a_task(&at).await.unwrap();
    assert_eq!(task.await.unwrap(), Key::from("k"));
    at.lock("k").acquire().await.unwrap().release().await.unwrap();
}

/// A release that the body has begun is over when the call returns, without another wait.
#[tokio::test]
async fn a_release_that_was_begun_is_awaited() {
    #[locked(key = "k", locker = at, guard = lock)]
    async fn begun(at: &Locker) -> Result<(), Error> {
        drop(lock);
        Ok(())
    }
    #[locked(key = "k", locker = at, guard = lock)]
    fn begun_blocking(at: &Locker) -> Result<(), Error> {
        drop(lock);
        Ok(())
    }
    // Another locker has another engine: it does not queue behind the release.
    let (at, other) = (memory("guards-begun"), memory("guards-begun"));
    for _ in 0..200 {
        begun(&at).await.unwrap();
        assert!(!is_held(&other, "k"));
        begun_blocking(&at).unwrap();
        assert!(!is_held(&other, "k"));
    }
}
