//! Statements of one owner in the wrong order, as a server does them that has one late.

use std::time::Duration;

use dlock_tests::Site;
use tokio::time::sleep;

use crate::rows::Rows;

const SECOND: Duration = Duration::from_secs(1);

/// What is shorter comes after what is longer: a take, and renewals. Then comes the release of the
/// earlier grant.
pub(crate) async fn statements_of_one_owner_end_no_other_grant_of_it(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let mut rows = Rows::of(&site).await;
    let long = ours.lock("k").owner("ada").ttl(60 * SECOND).acquire().await.unwrap();
    let short = theirs.lock("k").owner("ada").ttl(SECOND).acquire().await.unwrap();
    let taken = rows.row(&ours, "k").await;
    assert!(taken.left > 40_000.0, "the take has shortened it: {taken:?}");
    assert_eq!(Some(taken.fence as u64), short.fence());
    sleep(2 * SECOND).await;
    assert!(!short.is_lost());
    let renewed = rows.row(&ours, "k").await;
    assert!(renewed.left > 40_000.0, "a renewal has shortened it: {renewed:?}");
    assert!(long.release().await.unwrap_err().is_lost());
    assert!(rows.row(&ours, "k").await.is_held(), "the release has freed another grant");
    short.verify().await.unwrap();
    short.release().await.unwrap();
    assert!(!rows.row(&ours, "k").await.is_held());
}
