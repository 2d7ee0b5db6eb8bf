//! One that is refused does not spoil what travels with it.

use tokio::task::JoinSet;

use super::*;
use crate::Error;

/// Whatever is bad in the middle of a crowd, the others have their locks.
#[tokio::test]
async fn one_bad_key_fails_alone() {
    for (url, fenced) in [("memory:parts", false), ("memory:parts-fenced", true)] {
        let fake = Scripted::new(url);
        let ours = fake.locker(8).await.unwrap();
        fake.script(|call| if takes("bad")(call) { Fate::Fails } else { Fate::Done });
        let bad = if fenced { ours.lock("bad").fenced() } else { ours.lock("bad") };
        for _ in 0..5 {
            let mut crowd = JoinSet::new();
            for key in 0..100 {
                let lock = if fenced { ours.lock(key).fenced() } else { ours.lock(key) };
                crowd.spawn(async move { lock.acquire().await });
            }
            let error = in_time("an answer", bad.acquire()).await.unwrap_err();
            assert!(matches!(error, Error::Backend { .. }), "{error}");
            for answer in in_time("the others", crowd.join_all()).await {
                let guard = answer.unwrap();
                assert_eq!(guard.fence().is_some(), fenced);
                guard.release().await.unwrap();
            }
        }
        fake.script(|_| Fate::Done);
        bad.acquire().await.unwrap().release().await.unwrap();
    }
}

/// When nothing can be had, that is found out soon.
#[tokio::test]
async fn all_of_many_fail_soon() {
    let fake = Scripted::new("memory:parts-all");
    let ours = fake.locker(8).await.unwrap();
    fake.script(|call| match call {
        Call::Batch(tried) if !tried.is_empty() => Fate::Fails,
        _ => Fate::Done,
    });
    fake.calls();
    let error = in_time("an answer", ours.lock_all(0..1000).acquire()).await.unwrap_err();
    assert!(matches!(error, Error::Backend { .. }), "{error}");
    let calls = fake.calls().len();
    assert!(calls < 200, "{calls}");
}
