//! A database that is busy, silent or away.

use super::*;

/// Somebody has locked one row by hand: the others are taken, renewed and given back all the same.
#[tokio::test]
async fn a_busy_row_keeps_nobody_else() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(900 * MS)).await;
    let mut guards = Vec::new();
    for n in 0..20 {
        guards.push(locker.lock(n).acquire().await.unwrap());
    }
    let stuck = locker.lock("stuck").acquire().await.unwrap();
    fake.inside().busy = vec!["stuck".into(), "wanted".into()];
    let wanted = locker.lock("wanted");
    let wanted = tokio::spawn(async move { wanted.acquire().await.unwrap() });
    for n in 100..150 {
        let lock = locker.lock(n).timeout(Duration::from_secs(2));
        lock.acquire().await.unwrap().release().await.unwrap();
    }
    sleep(Duration::from_secs(2)).await;
    assert!(guards.iter().all(|guard| !guard.is_lost()), "the others are renewed");
    assert!(stuck.is_lost(), "this one could not be");
    assert!(!wanted.is_finished());
    fake.inside().busy.clear();
    timeout(LIMIT, wanted).await.unwrap().unwrap().release().await.unwrap();
    for guard in guards {
        guard.release().await.unwrap();
    }
}

/// What is held survives a connection that has gone dead without a word.
#[tokio::test]
async fn a_silent_connection_is_replaced_in_time() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(Duration::from_secs(4))).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    fake.script(once(Fate::Silent(false), |asked| matches!(asked, Asked::Renew(_))));
    let renewed = || fake.inside().asked.iter().filter(|a| matches!(a, Asked::Renew(_))).count();
    eventually("it is renewed on another connection", || renewed() >= 2).await;
    sleep(50 * MS).await;
    guard.release().await.unwrap();
}

/// Nor does another job take the time that the renewals need.
#[tokio::test]
async fn a_silent_take_is_given_up_in_time() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(Duration::from_secs(4))).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    fake.script(once(Fate::Silent(true), takes));
    let other = locker.lock("other").ttl(LONG).timeout(LIMIT);
    let other = tokio::spawn(async move { other.acquire().await });
    sleep(Duration::from_millis(4500)).await;
    assert!(!guard.is_lost());
    guard.release().await.unwrap();
    // Its own earlier take was perhaps done: it is given back, and taken again.
    other.await.unwrap().unwrap().release().await.unwrap();
    assert!(fake.row("other").is_free());
}

/// A release that nobody answers is answered when the lease has run out.
#[tokio::test]
async fn a_silent_release_ends_with_the_lease() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(400 * MS)).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let away = Flag::default();
    let gone = away.clone();
    fake.script(move |asked| match asked {
        Asked::Apply { .. } | Asked::Open => {
            gone.set(true);
            Fate::Silent(false)
        }
        _ => Fate::Done,
    });
    let error = timeout(LIMIT, guard.release()).await.unwrap().unwrap_err();
    assert!(
        matches!(error, crate::Error::Lost { reason: crate::LostReason::Unconfirmed, .. }),
        "{error}"
    );
    assert!(away.is_set());
    // Its validity ends a little before the row does.
    eventually("it has run out", || fake.row("k").is_free()).await;
}

/// Nor does anybody wait longer for its connection.
#[tokio::test]
async fn a_silent_release_keeps_nobody_from_the_next_lock() {
    let fake = Fake::new();
    let locker = fake.locker(ttl(1000 * MS)).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    fake.script(once(Fate::Silent(false), |asked| matches!(asked, Asked::Apply { .. })));
    let releasing = tokio::spawn(guard.release());
    sleep(50 * MS).await;
    // A connection is given up after 12 s where nothing is said of it.
    let next = locker.lock("other").timeout(Duration::from_secs(8)).acquire().await;
    next.unwrap().release().await.unwrap();
    assert!(releasing.await.unwrap().is_err(), "it has run out");
}

/// A take whose answer is lost on the way is given back, whatever became of it.
#[tokio::test]
async fn what_may_be_ours_is_given_back() {
    for done in [false, true] {
        let fake = Fake::new();
        let locker = fake.locker(ttl(LONG)).await;
        fake.script(once(Fate::Ends(done), takes));
        let error = locker.lock("k").try_acquire().await.unwrap_err();
        assert!(matches!(error, crate::Error::Unavailable { .. }), "{error}");
        let rival = fake.locker(ttl(LONG)).await;
        rival.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
}

/// A key that is asked for again and again while the database says nothing, or is busy with it.
#[tokio::test]
async fn key_that_cannot_be_asked_for_is_not_busy() {
    for fate in [Fate::Busy, Fate::Silent(false), Fate::Ends(false)] {
        let fake = Fake::new();
        let theirs = fake.locker(ttl(LONG)).await;
        let ours = fake.locker(ttl(LONG)).await;
        let held = theirs.lock("k").acquire().await.unwrap();
        let lock = ours.lock("k").timeout(LONG);
        let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
        sleep(100 * MS).await;
        assert!(ours.lock("k").try_acquire().await.unwrap().is_none());
        fake.script(move |asked| match asked {
            Asked::Apply { .. } | Asked::Open => fate,
            _ => Fate::Done,
        });
        sleep(300 * MS).await;
        let (one, other) = (ours.lock("k"), ours.lock("k").timeout(500 * MS));
        let (tried, waited) =
            tokio::join!(timeout(LIMIT, one.try_acquire()), timeout(LIMIT, other.acquire()),);
        for error in [tried.unwrap().unwrap_err(), waited.unwrap().unwrap_err()] {
            assert!(matches!(error, crate::Error::Unavailable { .. }), "{fate:?}: {error}");
        }
        waiting.abort();
        drop(held);
    }
}
