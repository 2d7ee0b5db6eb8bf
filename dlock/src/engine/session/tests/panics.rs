//! The driver panics.

use super::*;
use crate::locker::Locker;

/// The session that panics has ended: what it held is lost, at once, and others have it.
#[tokio::test]
async fn panic_over_an_answer_ends_the_session_at_once() {
    let fake = Scripted::new("memory:panic-batch");
    let (ours, theirs) = (fake.locker(8).await.unwrap(), fake.locker(8).await.unwrap());
    let held = ours.lock("held").acquire().await.unwrap();
    let waiting = tokio::spawn(async move { theirs.lock("held").acquire().await });
    fake.script(once(Fate::Panics, takes("bad")));
    // Whoever asked waits for another session, as with any that has ended.
    let bad = ours.lock("bad");
    let bad = tokio::spawn(async move { bad.acquire().await });
    in_time("news of the loss", held.lost()).await;
    assert!(held.is_lost());
    drop(in_time("the lock for the next one", waiting).await.unwrap().unwrap());
    drop(in_time("the other key", bad).await.unwrap().unwrap());
}

/// So has one that panics while it waits: the key is waited for on another.
#[tokio::test]
async fn panic_over_a_wait_does_not_end_the_wait() {
    let fake = Scripted::new("memory:panic-wait");
    let (ours, theirs) = (fake.locker(8).await.unwrap(), fake.locker(8).await.unwrap());
    let held = theirs.lock("k").acquire().await.unwrap();
    fake.script(once(Fate::Panics, |call| matches!(call, Call::Wait(_))));
    let lock = ours.lock("k");
    let waiting = tokio::spawn(async move { lock.acquire().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    held.release().await.unwrap();
    drop(in_time("the lock", waiting).await.unwrap().unwrap());
}

#[tokio::test]
async fn panic_while_connecting_is_an_error_and_the_locker_recovers() {
    let fake = Scripted::new("memory:panic-open");
    fake.script(once(Fate::Panics, |call| *call == Call::Open));
    let error = in_time("an answer", fake.locker(8)).await.unwrap_err();
    assert!(matches!(error, crate::Error::Unavailable { .. }), "{error}");
    let ours = fake.locker(8).await.unwrap();
    // The carrier ends, and the next one panics as it connects.
    let (mut ended, mut panicked) = (false, false);
    fake.script(move |call| match call {
        Call::Batch(_) if !std::mem::replace(&mut ended, true) => Fate::Ends,
        Call::Open if !std::mem::replace(&mut panicked, true) => Fate::Panics,
        _ => Fate::Done,
    });
    in_time("the lock", take(&ours)).await;
}

async fn take(locker: &Locker) {
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
}

/// Questions are no reason to end either.
#[tokio::test]
async fn panic_over_a_question_leaves_the_locker_alive() {
    let fake = Scripted::new("memory:panic-status");
    let ours = fake.locker(8).await.unwrap();
    // It is asked again, on another session.
    fake.script(once(Fate::Panics, |call| *call == Call::Status));
    in_time("an answer", ours.status()).await.unwrap();
    let is_question = |call: &Call| matches!(call, Call::Status | Call::Check);
    fake.script(move |call| if is_question(call) { Fate::Panics } else { Fate::Done });
    in_time("an answer", ours.status()).await.unwrap_err();
    in_time("an answer", ours.check()).await.unwrap_err();
    in_time("the lock", take(&ours)).await;
    fake.script(|_| Fate::Done);
    in_time("an answer", ours.status()).await.unwrap();
}
