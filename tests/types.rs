//! What the types can be used for, checked by the compiler.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use dlock::{Error, Guard, Holder, Key, Lock, Locker, LockerBuilder, LostInfo, LostReason, Wait};

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

#[test]
fn keys_come_from_what_names_things() {
    for key in [
        Key::from(7_usize),
        Key::from(7_isize),
        Key::from(7_u128),
        Key::from(7_i128),
        Key::from(&7_i64),
        Key::from(&7_u8),
        Key::from('7'),
        Key::from(&"7"),
    ] {
        assert_eq!(key, Key::from("7"));
    }
    assert_eq!(Key::from('ß'), Key::from("ß"));
    let locker = Locker::connect_blocking("memory:keys").unwrap();
    let ids = vec![3_i64, 7];
    let guard = locker.lock_all(&ids).acquire_blocking().unwrap();
    let status = locker.status_blocking().unwrap();
    assert_eq!(status.len(), 2);
    let shown: Vec<_> = status.iter().map(ToString::to_string).collect();
    let three = "\"3\" (exclusive); held by ";
    assert!(shown.iter().any(|one| one.starts_with(three)), "{shown:?}");
    drop(guard);
    locker.lock(7).acquire_blocking().unwrap().verify_blocking().unwrap();
    locker.close_blocking();
}

/// For those who test what they do about them.
#[test]
fn values_that_are_given_can_be_made_and_shown() {
    let holder = Holder::new("pid 7", Some(Duration::from_secs(12)));
    assert_eq!(holder.to_string(), "pid 7, for 12.0 s");
    assert_eq!(Holder::new("pid 7", None).to_string(), "pid 7");
    let info = LostInfo::new("k", LostReason::NotHeld, Duration::from_secs(1));
    assert_eq!(info.to_string(), Error::from(info.clone()).to_string());
    assert!(info.to_string().contains("\"k\""), "{info}");
}

#[tokio::test]
async fn futures_can_be_spawned() {
    let locker = sendable(Locker::connect("memory:types")).await.unwrap();
    let lock = locker.lock("k").timeout(Duration::from_secs(1));
    let mut guard = sendable(lock.acquire()).await.unwrap();
    drop(sendable(guard.lost()));
    sendable(guard.upgrade()).await.unwrap_err();
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
