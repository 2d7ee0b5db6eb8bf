//! A group of two (MySQL Group Replication): what is locked at a primary counts as long as the group
//! is its own.

use std::time::Duration;

use dlock::Error;
use dlock_tests::{Server, Site, Witness, eventually_async, in_time};

const SOON: Duration = Duration::from_secs(20);

/// Frozen and then away, the other one takes the majority with it: nobody knows whether there is
/// another primary by now.
pub(crate) async fn primary_without_its_majority_is_given_up(_: Site) {
    let Some(first) = Server::group(&[]) else { return };
    let Some(second) = first.beside("member", &[]) else { return };
    let mut witness = Witness::at(first.url()).await;
    let locker = Site::at(first.url()).locker().await;
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    let guard = locker.lock("k").acquire().await.unwrap();
    second.freeze();
    in_time("the loss", SOON, guard.lost()).await;
    let error = locker.lock("k").timeout(Duration::from_secs(1)).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    second.thaw();
    let again = async || match locker.lock("k").try_acquire().await {
        Ok(guard) => guard.is_some(),
        Err(_) => false,
    };
    eventually_async("it has its majority again", SOON, again).await;
    // One that leaves its group.
    let guard = locker.lock("k").acquire().await.unwrap();
    witness.run("STOP GROUP_REPLICATION").await;
    in_time("the loss", SOON, guard.lost()).await;
    // It takes writes again, as one does that was restarted and has not joined: nobody else hears of its locks.
    witness.run("SET GLOBAL super_read_only=OFF, GLOBAL read_only=OFF").await;
    let url = first.url();
    for url in [url.to_owned(), format!("lease+{url}")] {
        let error = dlock::Locker::connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("not in its group"), "{why}");
    }
}
