//! How a lease passes from task to task of one process.

use super::*;
use crate::status::lost::LostReason;

/// Each holder has a fence of its own by one statement, and nothing is given back in between.
#[tokio::test]
async fn one_statement_each() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let first = locker.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn({
        let lock = locker.lock("k");
        async move { lock.acquire().await.unwrap() }
    });
    sleep(20 * MS).await;
    fake.asked();
    drop(first);
    let second = waiting.await.unwrap();
    assert_eq!(second.fence(), Some(2));
    assert_eq!(fake.asked(), [Asked::Apply { releases: vec![], takes: vec!["k".into()] }]);
    second.release().await.unwrap();
    assert!(fake.row("k").is_free());
}

/// The next holder has a name of its own.
#[tokio::test]
async fn to_another_owner() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let first = locker.lock("k").acquire().await.unwrap();
    let next = locker.lock("k").owner("ada");
    let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
    sleep(20 * MS).await;
    fake.asked();
    drop(first);
    let second = waiting.await.unwrap();
    assert_eq!(fake.row("k").owner, "ada");
    assert_eq!((second.fence(), fake.row("k").fence), (Some(2), 2));
    let both = Asked::Apply { releases: vec!["k".into()], takes: vec!["k".into()] };
    assert_eq!(fake.asked(), [both]);
    second.release().await.unwrap();
    assert!(fake.row("k").is_free());
}

/// Whoever was to get it has gone, and nobody knows whether the database has written it to the
/// other owner already.
#[tokio::test]
async fn abandoned_when_it_is_not_known() {
    for owner in [None, Some("ada")] {
        for done in [true, false] {
            let fake = Fake::new();
            let locker = fake.locker(ttl(LONG)).await;
            let first = locker.lock("k").acquire().await.unwrap();
            let mut next = locker.lock("k");
            if let Some(owner) = owner {
                // Its row runs out: it may be that of another grant of this name.
                next = next.owner(owner).ttl(300 * MS);
            }
            let waiting = tokio::spawn(async move { next.acquire().await });
            sleep(20 * MS).await;
            // Not before its caller has gone is the database there again.
            let away = Flag::default();
            let gone = away.clone();
            fake.script(move |asked| match asked {
                Asked::Open if gone.is_set() => Fate::Ends(false),
                Asked::Apply { .. } if !gone.is_set() => {
                    gone.set(true);
                    Fate::Ends(done)
                }
                _ => Fate::Done,
            });
            drop(first);
            eventually("the connection ends", || away.is_set()).await;
            sleep(20 * MS).await;
            waiting.abort();
            sleep(20 * MS).await;
            fake.script(|_| Fate::Done);
            eventually("it is given back", || fake.row("k").is_free()).await;
        }
    }
}

/// A name may be that of another process, so nothing is given back that may be another's.
#[tokio::test]
async fn a_name_is_not_given_back_in_doubt() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let lock = locker.lock("k").owner("ada");
    let first = lock.acquire().await.unwrap();
    let waiting = tokio::spawn(async move { lock.acquire().await });
    sleep(20 * MS).await;
    let away = Flag::default();
    let gone = away.clone();
    fake.script(move |asked| match asked {
        Asked::Open => Fate::Ends(false),
        Asked::Apply { .. } => {
            gone.set(true);
            Fate::Ends(false)
        }
        _ => Fate::Done,
    });
    drop(first);
    eventually("the connection ends", || away.is_set()).await;
    {
        // Another process of this name has come, and gone, and come.
        let rows = &mut fake.inside().rows;
        rows.get_mut("k").unwrap().fence = 17;
    }
    waiting.abort();
    sleep(20 * MS).await;
    fake.script(|_| Fate::Done);
    let locker = locker.clone();
    locker.lock("other").acquire().await.unwrap().release().await.unwrap();
    eventually("the release has been tried", || {
        let asked = &fake.inside().asked;
        asked.iter().any(|asked| matches!(asked, Asked::Apply { releases, .. } if releases.contains(&"k".into())))
    })
    .await;
    assert!(!fake.row("k").is_free(), "it was another's");
}

/// A check of the holder before is no check of this one.
#[tokio::test]
async fn verify_of_the_holder_before() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let first = locker.lock("k").acquire().await.unwrap();
    let next = locker.lock("k");
    let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
    sleep(20 * MS).await;
    // One question is with the database, others wait for their turn.
    fake.inside().delay = 30 * MS;
    let others: Vec<_> = (0..4)
        .map(|_| {
            let hold = first.grant().clone();
            let engine = locker.core().engine().clone();
            tokio::spawn(async move {
                let (reply, answer) = tokio::sync::oneshot::channel();
                engine.send(crate::engine::Message::Verify { hold: hold.id, reply }).unwrap();
                answer.await
            })
        })
        .collect();
    sleep(10 * MS).await;
    drop(first);
    let second = waiting.await.unwrap();
    for other in others {
        let _ = other.await.unwrap();
    }
    assert!(!second.is_lost(), "{:?}", timeout(MS, second.lost()).await);
    second.release().await.unwrap();
}

/// It is somebody else's by the time it is to pass on: who waits for it here goes on waiting.
#[tokio::test]
async fn lost_on_the_way() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let first = locker.lock("k").acquire().await.unwrap();
    let next = locker.lock("k");
    let waiting = tokio::spawn(async move { next.acquire().await });
    sleep(20 * MS).await;
    fake.inside().rows.get_mut("k").unwrap().owner = "thief".into();
    drop(first);
    sleep(50 * MS).await;
    assert!(!waiting.is_finished());
    fake.inside().rows.get_mut("k").unwrap().until = Some(crate::clock::Time::now());
    let second = timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!(second.fence(), Some(2));
}

/// Each has what it has asked for.
#[tokio::test]
async fn to_other_terms() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(LONG)).await;
    let first = locker.lock("k").acquire().await.unwrap();
    let next = locker.lock("k").ttl(200 * MS).auto_renew(false);
    let waiting = tokio::spawn(async move { next.acquire().await.unwrap() });
    sleep(20 * MS).await;
    drop(first);
    let second = waiting.await.unwrap();
    let lost = timeout(LIMIT, second.lost()).await.unwrap();
    assert_eq!(lost.reason, LostReason::Expired);
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
}
