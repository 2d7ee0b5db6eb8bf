//! What leases and the servers with more modes have.

use std::time::Duration;

use dlock::testing::Locker;
use dlock::{Error, LostReason, Mode, Stage};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn min_hold_keeps_the_lock_from_others() {
    let dlock = Locker::new();
    let lock = dlock.lock("k").min_hold(Duration::from_secs(10)).timeout(Duration::from_secs(60));
    let began = Instant::now();
    lock.acquire().await.unwrap().release().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 0);
    assert!(lock.try_acquire().await.unwrap().is_none());
    lock.acquire().await.unwrap().release().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn advance_ends_a_lease_that_is_not_renewed() {
    let dlock = Locker::new();
    let ttl = Duration::from_secs(30);
    let guard = dlock.lock("k").ttl(ttl).auto_renew(false).acquire().await.unwrap();
    let renewed = dlock.lock("renewed").ttl(ttl).acquire().await.unwrap();
    dlock.advance(ttl);
    assert!(guard.is_lost() && !renewed.is_lost());
    let error = guard.release().await.unwrap_err();
    assert!(matches!(error, Error::Lost { reason: LostReason::Expired, .. }), "{error:?}");
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_some());
    renewed.verify().await.unwrap();
    renewed.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn lock_is_handed_over_by_a_token() {
    let dlock = Locker::new();
    let guard = dlock.lock("k").acquire().await.unwrap();
    let fence = guard.fence();
    let token = guard.into_token().await.unwrap();
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_none());
    let again = token.clone();
    let adopted = dlock.adopt(token).await.unwrap();
    assert_eq!(adopted.fence(), fence);
    assert!(dlock.adopt(again).await.unwrap_err().is_lost());
    adopted.release().await.unwrap();
    // One that nobody takes over runs out.
    let token = dlock.lock("k").acquire().await.unwrap().into_token().await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert!(dlock.lock("k").try_acquire().await.unwrap().is_some());
    assert!(dlock.adopt(token).await.unwrap_err().is_lost());
}

#[tokio::test(start_paused = true)]
async fn modes_go_together_as_the_table_says() {
    let dlock = Locker::new();
    for held in Mode::ALL {
        let guard = dlock.lock("k").mode(held).acquire().await.unwrap();
        for wanted in Mode::ALL {
            let second = dlock.lock("k").mode(wanted).try_acquire().await.unwrap();
            assert_eq!(second.is_some(), held.is_compatible_with(wanted), "{held} {wanted}");
        }
        drop(guard);
    }
}

#[tokio::test(start_paused = true)]
async fn modes_change_while_the_lock_is_held() {
    let dlock = Locker::new();
    let update = dlock.lock("k").mode(Mode::Update).timeout(Duration::from_secs(5));
    let (reader, mut writer) =
        (dlock.lock("k").shared().acquire().await.unwrap(), update.acquire().await.unwrap());
    let began = Instant::now();
    let error = writer.upgrade().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { stage: Stage::Process, .. }), "{error:?}");
    assert_eq!((writer.mode(), began.elapsed().as_secs()), (Mode::Update, 5));
    let later = async {
        sleep(Duration::from_secs(2)).await;
        reader.release().await
    };
    let (upgraded, released) = tokio::join!(writer.upgrade(), later);
    upgraded.and(released).unwrap();
    assert_eq!((writer.mode(), began.elapsed().as_secs()), (Mode::Exclusive, 7));
    assert!(dlock.lock("k").shared().try_acquire().await.unwrap().is_none());
    writer.downgrade().await.unwrap();
    assert!(dlock.lock("k").shared().try_acquire().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn readers_do_not_pass_a_writer_who_waits() {
    let dlock = Locker::new();
    let reader = dlock.lock("k").shared().acquire().await.unwrap();
    let write = dlock.lock("k");
    let (writing, reading) = (write.acquire(), async {
        sleep(Duration::from_secs(1)).await;
        let refused = dlock.lock("k").shared().try_acquire().await.unwrap().is_none();
        drop(reader);
        refused
    });
    let (written, refused) = tokio::join!(writing, reading);
    assert!(written.is_ok() && refused);
}

#[tokio::test(start_paused = true)]
async fn leader_is_elected_and_follows() {
    let dlock = Locker::new();
    let (a, b) = (dlock.lock("scheduler").leader(), dlock.lock("scheduler").leader());
    let stop = b.clone();
    let first = a.run(async |term| {
        sleep(Duration::from_secs(60)).await;
        term.fence()
    });
    let second = b.run(async |_| sleep(Duration::from_secs(3600)).await);
    let (first, second, ()) = tokio::join!(first, second, async {
        sleep(Duration::from_secs(90)).await;
        assert!(matches!(stop.role(), dlock::Role::Leader { .. }));
        stop.stop();
    });
    assert_eq!((first.unwrap(), second.unwrap()), (Some(Some(1)), None));
}

/// Keys that were free for long are forgotten, and their tokens go on all the same.
#[tokio::test(start_paused = true)]
async fn prune_forgets_what_is_free() {
    let dlock = Locker::new();
    let hour = Duration::from_secs(3600);
    let held = dlock.lock("held").acquire().await.unwrap();
    dlock.busy("busy");
    let mut last = None;
    for _ in 0..3 {
        let guard = dlock.lock("old").acquire().await.unwrap();
        last = last.max(guard.fence());
        guard.release().await.unwrap();
    }
    assert_eq!(dlock.locker().prune(hour).await.unwrap(), 0);
    dlock.advance(hour);
    dlock.lock("new").acquire().await.unwrap().release().await.unwrap();
    assert_eq!(dlock.locker().prune(hour).await.unwrap(), 1);
    assert!(dlock.lock("held").try_acquire().await.unwrap().is_none());
    assert!(dlock.lock("busy").try_acquire().await.unwrap().is_none());
    let again = dlock.lock("old").acquire().await.unwrap();
    assert!(again.fence() > last, "{:?} after {last:?}", again.fence());
    held.release().await.unwrap();
}
