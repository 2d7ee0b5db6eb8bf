//! How often a lease is asked for that another process has.

use super::*;

async fn asked_in_a_second(fake: &Fake, lock: crate::Lock) -> usize {
    fake.asked();
    assert!(lock.timeout(Duration::from_secs(1)).acquire().await.unwrap_err().is_timeout());
    fake.asked().iter().filter(|asked| takes(asked)).count()
}

/// One who is held up asks less often, never more.
#[tokio::test]
async fn at_the_intervals_that_were_asked_for() {
    let fake = Fake::new();
    let theirs = fake.locker(ttl(LONG)).await;
    let _held = theirs.lock("k").ttl(Duration::MAX).acquire().await.unwrap();
    let ours = fake.locker(ttl(LONG)).await;
    let asked = asked_in_a_second(&fake, ours.lock("k").retry_every(100 * MS)).await;
    assert!((3..=13).contains(&asked), "{asked}");
    let ours = fake.locker(LeaseOptions::new().poll(50 * MS, 100 * MS)).await;
    let asked = asked_in_a_second(&fake, ours.lock("k")).await;
    assert!((5..=42).contains(&asked), "{asked}");
}

/// However rarely it is asked for otherwise.
#[tokio::test]
async fn at_the_end_of_the_lease() {
    let fake = Fake::new();
    let theirs = fake.locker(ttl(LONG)).await;
    let _held = theirs.lock("k").ttl(400 * MS).auto_renew(false).acquire().await.unwrap();
    let ours = fake.locker(ttl(LONG)).await;
    let waiting = ours.lock("k").retry_every(LONG).timeout(LONG);
    let guard = timeout(LIMIT, waiting.acquire()).await.unwrap().unwrap();
    assert_eq!(guard.fence(), Some(2));
}
