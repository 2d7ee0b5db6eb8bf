//! Questions about locks are in nobody's way, and do not decide what callers are told.

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::Error;

const KEYS: i64 = 1000;

async fn a_thousand_time_out(fake: &Scripted, sessions: u32) {
    let (theirs, ours) = (fake.locker(8).await.unwrap(), fake.locker(sessions).await.unwrap());
    let held = theirs.lock_all(0..KEYS).acquire().await.unwrap();
    fake.calls();
    let mut waiting = JoinSet::new();
    for key in 0..KEYS {
        let lock = ours.lock(key).timeout(Duration::from_millis(500));
        waiting.spawn(async move { lock.acquire().await });
    }
    tokio::time::sleep(Duration::from_millis(480)).await;
    let asked = Instant::now();
    in_time("a free key", ours.lock("free").acquire()).await.unwrap().release().await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    for answer in in_time("all answers", waiting.join_all()).await {
        let error = answer.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
    }
    held.release().await.unwrap();
}

fn searches(fake: &Scripted) -> usize {
    fake.calls().iter().filter(|call| **call == Call::Status).count()
}

#[tokio::test]
async fn thousand_keys_are_a_few_questions() {
    let fake = Scripted::new("memory:lookups-many");
    a_thousand_time_out(&fake, 8).await;
    // None when all sessions wait for keys.
    let searches = searches(&fake);
    assert!(searches < 20, "{searches}");
}

/// The server does not answer them, but all else.
#[tokio::test]
async fn question_without_an_answer_delays_nobody() {
    let fake = Scripted::new("memory:lookups-silent");
    fake.script(|call| if *call == Call::Status { Fate::Silent } else { Fate::Done });
    a_thousand_time_out(&fake, 8).await;
}

/// There is no session for them.
#[tokio::test]
async fn with_one_session_there_is_no_search() {
    let fake = Scripted::new("memory:lookups-none");
    a_thousand_time_out(&fake, 1).await;
    assert_eq!(searches(&fake), 0);
}

/// What a person asks is answered all the same.
#[tokio::test]
async fn with_one_session_it_answers_what_a_person_asks() {
    let fake = Scripted::new("memory:lookups-one");
    let ours = fake.locker(1).await.unwrap();
    let held = ours.lock("k").acquire().await.unwrap();
    let status = in_time("an answer", ours.status()).await.unwrap();
    assert_eq!(status.len(), 1);
    in_time("an answer", ours.check()).await.unwrap();
    held.verify().await.unwrap();
    assert_eq!(fake.calls().iter().filter(|call| **call == Call::Open).count(), 1);
}

/// Each has its time, and says what happened.
#[tokio::test]
async fn questions_without_an_answer_end() {
    let fake = Scripted::new("memory:lookups-end");
    let ours = fake.locker(8).await.unwrap();
    let held = ours.lock("k").acquire().await.unwrap();
    fake.script(|call| match call {
        Call::Held | Call::Status | Call::Check => Fate::Silent,
        _ => Fate::Done,
    });
    let (verified, status, check) = tokio::join!(
        in_time("an answer", held.verify()),
        in_time("an answer", ours.status()),
        timeout(2 * LIMIT, ours.check()),
    );
    let errors = [verified.unwrap_err(), status.unwrap_err(), check.unwrap().unwrap_err()];
    for error in errors {
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    }
    assert!(!held.is_lost());
}
