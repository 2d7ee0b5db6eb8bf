//! The suite for a locker of one's own: it passes where it should, and nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dlock::testing::conformance;
use dlock::testing::conformance::{Outcome, Results};
use dlock::{Key, KeyScheme, Locker, NativeKey};
use dlock_tests::{Backend, Site, unique};

pub(crate) async fn real_databases_conform(site: Site) {
    let results = conformance(async || site.builder().connect().await).await;
    results.assert_ok();
    let skipped = |check: &&conformance::Check| matches!(check.outcome, Outcome::Skipped(_));
    let skipped: Vec<_> = results.checks.iter().filter(skipped).map(|c| c.name).collect();
    let expected: &[&str] = match site.backend.is_some_and(Backend::is_sharing) {
        true => &[],
        false => &["readers_share_and_keep_writers_out", "readers_do_not_pass_a_writer_who_waits"],
    };
    assert_eq!(skipped, expected, "{results}");
}

fn failed(results: &Results) -> Vec<&str> {
    results.failed().map(|check| check.name).collect()
}

#[tokio::test]
async fn locker_for_tests_conforms() {
    let dlock = dlock::testing::Locker::new();
    let results = conformance(async || Ok(dlock.locker())).await;
    results.assert_ok();
    assert!(results.to_string().contains("a_closed_locker_frees_its_locks: skipped"), "{results}");
}

#[tokio::test]
async fn spaces_that_have_nothing_to_do_with_each_other_fail() {
    let made = AtomicU32::new(0);
    let client = async || {
        let n = made.fetch_add(1, Ordering::SeqCst);
        Locker::connect(&format!("memory:{}-{n}", unique("apart"))).await
    };
    let results = conformance(client).await;
    assert!(!results.is_ok());
    let failed = failed(&results);
    for name in [
        "a_held_lock_is_refused_to_others",
        "all_clients_together_exclude_each_other",
        "a_wait_ends_with_its_timeout",
        "several_keys_are_taken_all_or_none",
        "permits_are_no_more_than_there_are",
        "readers_share_and_keep_writers_out",
        "fencing_tokens_grow",
        "status_shows_the_holder",
    ] {
        assert!(failed.contains(&name), "{name} did not fail: {results}");
    }
    let text = std::panic::catch_unwind(|| results.assert_ok()).unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains("another client got a lock that was held"), "{text}");
}

#[tokio::test]
async fn keys_that_are_one_lock_fail() {
    let space = unique("folding");
    let fold = |key: &Key| NativeKey::Name(key.to_string().to_lowercase());
    let client = async || {
        let builder = Locker::builder(&format!("memory:{space}"));
        builder.key_scheme(KeyScheme::Custom(Arc::new(fold))).connect().await
    };
    let results = conformance(client).await;
    assert_eq!(failed(&results), ["different_keys_are_different_locks"], "{results}");
}

#[tokio::test]
async fn clients_that_cannot_be_made_fail() {
    let results = conformance(async || Locker::connect("postgers://nowhere").await).await;
    assert_eq!(failed(&results), ["clients_can_be_made"]);
    assert!(results.to_string().contains("unknown scheme"), "{results}");
}
