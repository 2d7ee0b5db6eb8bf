//! Shared and exclusive locks.

use dlock::{Error, Mode, on};
use dlock_tests::Site;

use super::connect;
use crate::db::lock;

pub(crate) async fn go_together_as_they_say(site: Site) {
    let (mut one, mut two) = (connect(&site).await, connect(&site).await);
    for ours in [Mode::Exclusive, Mode::Shared] {
        for theirs in [Mode::Exclusive, Mode::Shared] {
            let mut first = lock(&site, &mut one).mode(ours);
            first.acquire().await.unwrap();
            let mut second = lock(&site, &mut two).mode(theirs);
            let both = second.try_acquire().await.unwrap();
            assert_eq!(both, ours == Mode::Shared && theirs == Mode::Shared);
            assert_eq!(second.release().await.unwrap(), both);
            assert!(first.release().await.unwrap());
        }
    }
}

/// A connection that reads and wants to write as well says so.
pub(crate) async fn another_mode_is_reentrant_too(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    let mut reads = lock(&site, &mut conn).shared();
    reads.acquire().await.unwrap();
    let error = lock(&site, reads.conn()).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Reentrant { .. }), "{error}");
    let mut writes = lock(&site, reads.conn()).reentrant();
    writes.acquire().await.unwrap();
    assert!(!lock(&site, &mut other).shared().try_acquire().await.unwrap());
    assert!(writes.release().await.unwrap());
    // The exclusive one has gone, the shared one has not.
    assert!(!lock(&site, &mut other).try_acquire().await.unwrap());
    let mut second = lock(&site, &mut other).shared();
    assert!(second.try_acquire().await.unwrap());
    assert!(second.release().await.unwrap());
    assert!(reads.release().await.unwrap());
}

/// A writer that waits for readers gives nothing of theirs away when its time is over.
pub(crate) async fn wait_of_a_reader_to_write_leaves_the_reader(site: Site) {
    let (mut conn, mut other) = (connect(&site).await, connect(&site).await);
    let mut theirs = lock(&site, &mut other).shared();
    theirs.acquire().await.unwrap();
    let mut ours = lock(&site, &mut conn).shared();
    ours.acquire().await.unwrap();
    let mut writes = lock(&site, ours.conn()).reentrant();
    writes = writes.timeout(std::time::Duration::from_millis(50));
    assert!(writes.acquire().await.unwrap_err().is_timeout());
    assert!(!writes.release().await.unwrap());
    assert!(theirs.release().await.unwrap());
    assert!(!lock(&site, &mut other).try_acquire().await.unwrap(), "ours has gone");
    assert!(ours.release().await.unwrap());
}

pub(crate) async fn there_are_no_others(site: Site) {
    let mut conn = connect(&site).await;
    for mode in [Mode::Update, Mode::SubShared, Mode::Null] {
        let error = on(&mut conn).lock("k").mode(mode).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    }
}
