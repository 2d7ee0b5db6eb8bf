//! No answer is not "busy".

use std::time::Instant;

use super::*;
use crate::{Error, Wait};

/// A server that goes silent at some time: until then it answers.
fn silent_when(
    fake: &Scripted,
    silent: &std::sync::Arc<std::sync::atomic::AtomicBool>,
    wait: Fate,
) {
    let silent = std::sync::Arc::clone(silent);
    fake.script(move |call| match call {
        _ if silent.load(std::sync::atomic::Ordering::SeqCst) => Fate::Silent,
        Call::Wait(_) => wait,
        _ => Fate::Done,
    });
}

/// Somebody waits for a key, in the server or by asking again and again; then the server is dead.
#[tokio::test]
async fn wanted_key_is_not_busy_during_an_outage() {
    for (url, sessions) in [("memory:outage-poll", 1), ("memory:outage-wait", 8)] {
        let fake = Scripted::new(url);
        let (theirs, ours) = (fake.locker(8).await.unwrap(), fake.locker(sessions).await.unwrap());
        let held = theirs.lock("k").acquire().await.unwrap();
        let silent = std::sync::Arc::default();
        silent_when(&fake, &silent, Fate::Done);
        let lock = ours.lock("k").timeout(Wait::Forever);
        let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
        tokio::time::sleep(Duration::from_millis(300)).await;
        // While it lives, it is said to be taken.
        let lock = ours.lock("k");
        assert!(in_time("an answer", lock.try_acquire()).await.unwrap().is_none());
        silent.store(true, std::sync::atomic::Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let short = lock.clone().timeout(Duration::from_secs(1));
        let (tried, waited) = tokio::join!(
            in_time("an answer", lock.try_acquire()),
            in_time("an answer", short.acquire()),
        );
        let (tried, waited) = (tried.unwrap_err(), waited.unwrap_err());
        assert!(matches!(tried, Error::Unavailable { .. }), "{sessions}: {tried}");
        assert!(matches!(waited, Error::Unavailable { .. }), "{sessions}: {waited}");
        waiting.abort();
        drop(held);
    }
}

/// Two modes of one locker: it is this process that is in the way.
#[tokio::test]
async fn other_mode_of_the_same_locker_is_this_process() {
    let fake = Scripted::new("memory:modes-stage");
    let ours = fake.locker(8).await.unwrap();
    let _held = ours.lock("k").shared().acquire().await.unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(60)] {
        let error = ours.lock("k").timeout(wait).acquire().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("held by this process"), "{text}");
    }
}

/// The same when its holder has gone, and its `min_hold` is not over.
#[tokio::test]
async fn other_mode_that_is_kept_is_this_process() {
    let fake = Scripted::new("memory:kept-stage");
    let ours = fake.locker(8).await.unwrap();
    let kept = ours.lock("k").min_hold(Duration::from_secs(60)).acquire().await.unwrap();
    kept.release().await.unwrap();
    for wait in [Duration::ZERO, Duration::from_millis(60)] {
        let error = ours.lock("k").shared().timeout(wait).acquire().await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("held by this process"), "{text}");
    }
}

/// A server that takes connections and ends each at its first question is not asked without a pause.
#[tokio::test]
async fn server_that_ends_every_session_is_left_alone_between_attempts() {
    let fake = Scripted::new("memory:ends-all");
    let ours = fake.locker(8).await.unwrap();
    let take = async || ours.lock("k").acquire().await.unwrap().release().await.unwrap();
    in_time("the lock", take()).await;
    fake.script(|call| if matches!(call, Call::Batch(_)) { Fate::Ends } else { Fate::Done });
    fake.calls();
    let began = Instant::now();
    let lock = ours.lock("k").timeout(Duration::from_secs(2));
    let error = in_time("an answer", lock.acquire()).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let opened = fake.calls().iter().filter(|call| **call == Call::Open).count();
    // After 50 ms, 100, 200, and so on: eight in ten seconds.
    let most = 8 + began.elapsed().as_secs();
    assert!(opened as u64 <= most, "{opened} connections in {:?}", began.elapsed());
    fake.script(|_| Fate::Done);
    in_time("the lock", take()).await;
}
