//! What the types can be used for, checked by the compiler.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use dlock::{Error, Guard, Key, Lock, Locker, LockerBuilder, LostInfo, Wait};

fn shared<T: Send + Sync + Clone + 'static>() {}
fn sendable<T: Send>(value: T) -> T {
    value
}

#[test]
fn go_where_they_are_needed() {
    shared::<Locker>();
    shared::<Lock>();
    shared::<Key>();
    shared::<Wait>();
    shared::<LostInfo>();
    shared::<Error>();
    fn guard<T: Send + Sync + 'static>() {}
    guard::<Guard>();
    sendable::<Option<LockerBuilder>>(None);
    assert!(size_of::<Error>() <= 64);
}

#[tokio::test]
async fn futures_can_be_spawned() {
    let locker = sendable(Locker::connect("memory:types")).await.unwrap();
    let lock = locker.lock("k").timeout(Duration::from_secs(1));
    let guard = sendable(lock.acquire()).await.unwrap();
    drop(sendable(guard.lost()));
    sendable(guard.verify()).await.unwrap();
    sendable(guard.protect(async {})).await.unwrap();
    sendable(guard.release()).await.unwrap();
    drop(sendable(lock.try_acquire()).await.unwrap());
    let lock = locker.lock("another");
    let body = tokio::spawn(async move { lock.run(async |guard| guard.key().clone()).await });
    assert_eq!(body.await.unwrap().unwrap(), Key::from("another"));
    sendable(locker.close()).await;
}

#[tokio::test]
async fn errors_go_into_those_of_others() {
    async fn io(locker: &Locker) -> std::io::Result<()> {
        locker.lock("k").timeout(Duration::ZERO).acquire().await?.release().await?;
        Ok(())
    }
    async fn sqlx(locker: &Locker) -> sqlx::Result<()> {
        locker.lock("k").timeout(Duration::ZERO).acquire().await?.release().await?;
        Ok(())
    }
    let locker = Locker::connect("memory:errors").await.unwrap();
    let _held = locker.lock("k").acquire().await.unwrap();
    let error = io(&locker).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    assert!(inner.is_some_and(Error::is_timeout));
    assert!(sqlx(&locker).await.unwrap_err().to_string().contains("\"k\""));
}
