//! Answers that mean nothing, sessions that end, and what a locker makes of them.

use std::time::Duration;

use dlock::{Error, LeaseOptions, Locker, LockerBuilder, Mode, Severity};
use dlock_tests::sql_server::{Double, SOON, number, rows};
use dlock_tests::{eventually_async, in_time};

const NO_ANSWERS: [&str; 8] =
    ["no_row", "null", "code:7", "code:-2", "code:-999", "cut", "flood", "error:1205"];

async fn next_is(double: Double, fault: &str) {
    let script = format!("EXEC dlock_double.fault '{fault}', 'sp_getapplock', 1");
    rows(&mut double.client().await, &script).await.unwrap();
}

/// Whatever is no code is no grant: neither a row that is missing, nor NULL, nor a number that means
/// nothing. A session that holds nothing is replaced, and the new one asked once more; so this one
/// holds something.
#[tokio::test]
async fn answer_that_means_nothing_is_never_a_grant() {
    for fault in NO_ANSWERS {
        let double = Double::start().await;
        let locker = Locker::connect(&double.url()).await.unwrap();
        let held = locker.lock("held").acquire().await.unwrap();
        next_is(double, fault).await;
        let tried = in_time("an answer", SOON, locker.lock("k").try_acquire()).await;
        assert!(!matches!(tried, Ok(Some(_))), "{fault}: {tried:?}");
        drop(held);
        // Nor does the session that gave it keep the lock from anybody.
        let other = Locker::connect(&double.url()).await.unwrap();
        let lock = other.lock("k").timeout(SOON);
        in_time("the lock", SOON, lock.acquire()).await.unwrap().release().await.unwrap();
    }
}

/// The same of the answer to a wait.
#[tokio::test]
async fn wait_whose_answer_means_nothing_is_never_a_grant() {
    for fault in NO_ANSWERS {
        let double = Double::start().await;
        let ours = Locker::connect(&double.url()).await.unwrap();
        let theirs = Locker::connect(&double.url()).await.unwrap();
        let held = theirs.lock("k").acquire().await.unwrap();
        let lock = ours.lock("k").timeout(SOON);
        // A key that was refused a moment ago is waited for at once.
        assert!(lock.try_acquire().await.unwrap().is_none());
        next_is(double, fault).await;
        let waiting = tokio::spawn(async move { lock.acquire().await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        held.release().await.unwrap();
        if let Ok(guard) = in_time("an answer", SOON, waiting).await.unwrap() {
            // It was asked for once more: then it is held.
            assert!(theirs.lock("k").try_acquire().await.unwrap().is_none(), "{fault}");
            guard.release().await.unwrap();
        }
        let lock = theirs.lock("k").timeout(SOON);
        in_time("the lock", SOON, lock.acquire()).await.unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn loss_is_noticed_when_the_server_ends_the_session() {
    let double = Double::start().await;
    let mut client = double.client().await;
    let locker = Locker::builder(&double.url()).application_name("victim").connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    let sessions = "SELECT TOP (1) CAST(l.request_session_id AS int) FROM sys.dm_tran_locks l \
                    WHERE l.resource_type='APPLICATION'";
    let session = number(&mut client, sessions).await;
    let lost = guard.lost();
    rows(&mut client, &format!("KILL {session}")).await.unwrap();
    let lost = in_time("the news", SOON, lost).await;
    assert_eq!(lost.key.as_str(), Some("k"));
    assert!(matches!(guard.release().await, Err(Error::Lost { .. })));
    let lock = locker.lock("k").timeout(SOON);
    in_time("the lock", SOON, lock.acquire()).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn broken_lock_is_lost_and_a_user_who_may_not_break_it_is_told() {
    let double = Double::start().await;
    let holder = Locker::connect(&double.url()).await.unwrap();
    let other = Locker::connect(&double.url()).await.unwrap();
    let limited = Locker::connect(&double.url_of("limited", "x")).await.unwrap();
    let guard = holder.lock("k").acquire().await.unwrap();
    let lost = guard.lost();
    drop(limited.break_lock("k").await.unwrap_err());
    assert!(!guard.is_lost());
    assert!(in_time("an end", SOON, other.break_lock("k")).await.unwrap());
    in_time("the news", SOON, lost).await;
    let lock = other.lock("k").timeout(SOON);
    in_time("the lock", SOON, lock.acquire()).await.unwrap().release().await.unwrap();
}

/// A wait that is not wanted any more leaves the server's queue with its connection.
#[tokio::test]
async fn wait_that_is_dropped_leaves_the_queue() {
    let double = Double::start().await;
    let mut client = double.client().await;
    let (ours, theirs) = (
        Locker::connect(&double.url()).await.unwrap(),
        Locker::connect(&double.url()).await.unwrap(),
    );
    let held = theirs.lock("k").acquire().await.unwrap();
    let lock = ours.lock("k");
    let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
    let waits = "SELECT CAST(COUNT(*) AS int) FROM sys.dm_tran_locks WHERE \
                 resource_type='APPLICATION' AND request_status='WAIT'";
    for count in [1, 0] {
        eventually_async("a change in the queue", SOON, async || {
            number(&mut client, waits).await == count
        })
        .await;
        waiting.abort();
    }
    held.release().await.unwrap();
    ours.close().await;
}

#[tokio::test]
async fn ado_strings_are_read() {
    let double = Double::start().await;
    let ado = format!(
        "Server=tcp:127.0.0.1,{};Database=test;User ID=sa;Password='p;w';Encrypt=DANGER_PLAINTEXT",
        double.port
    );
    let locker = LockerBuilder::ado(ado).connect().await.unwrap();
    let other = Locker::connect(&double.url()).await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    assert!(other.lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

#[tokio::test]
async fn user_without_rights_is_told_what_to_grant() {
    let double = Double::start().await;
    let limited = Locker::connect(&double.url_of("limited", "x")).await.unwrap();
    let held = limited.lock("k").acquire().await.unwrap();
    let report = limited.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    assert!(report.to_string().contains("VIEW SERVER STATE"), "{report}");
    let other = Locker::connect(&double.url_of("limited", "x")).await.unwrap();
    let lock = other.lock("k").timeout(Duration::from_millis(100));
    let error = lock.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    held.release().await.unwrap();
    let powerless = Locker::connect(&double.url_of("powerless", "x")).await.unwrap();
    let error = powerless.lock("k").acquire().await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Permission { .. }) && text.contains("sp_getapplock"), "{text}");
    let report = powerless.check().await.unwrap();
    let problem = |severity| report.findings.iter().any(|found| found.severity == severity);
    assert!(problem(Severity::Problem), "{report}");
    let error = Locker::connect(&double.url_of("sa", "wrong")).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Permission { .. }) && text.contains("password"), "{text}");
}

#[tokio::test]
async fn read_only_replica_is_refused() {
    let double = Double::start().await;
    let mut client = double.client().await;
    rows(&mut client, "EXEC dlock_double.option 'read_only', '1'").await.unwrap();
    for url in [double.url(), format!("lease+{}", double.url())] {
        let error = Locker::connect(&url).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }) && text.contains("primary"), "{text}");
    }
}

/// More leases than a statement has parameters.
#[tokio::test]
async fn many_leases_are_renewed_together() {
    let double = Double::start().await;
    let url = format!("lease+{}", double.url());
    let ttl = LeaseOptions::new().ttl(Duration::from_secs(5));
    let locker = Locker::builder(&url).lease_options(ttl).connect().await.unwrap();
    let keys = 0..450;
    let held = in_time("all", SOON * 3, locker.lock_all(keys).acquire()).await.unwrap();
    let renewed = "SELECT CAST(COUNT(*) AS int) FROM dlock_leases WHERE \
                   DATEDIFF_BIG(millisecond,acquired_at,expires_at)>5500";
    let mut client = double.client().await;
    eventually_async("a renewal of all", SOON * 2, async || {
        number(&mut client, renewed).await == 450
    })
    .await;
    assert!(!held.is_lost());
    held.release().await.unwrap();
}

/// What the readme's table says of where a key is one lock.
#[tokio::test]
async fn key_of_another_database_is_another_lock() {
    let double = Double::start().await;
    rows(&mut double.client().await, "CREATE DATABASE other").await.unwrap();
    let url = double.url();
    let other = Locker::connect(&url.replace("/test?", "/other?")).await.unwrap();
    let locker = Locker::connect(&url).await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    other.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
    let same = Locker::connect(&url).await.unwrap();
    assert!(same.lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
}

/// There is a way up, and none down: the server keeps the strongest mode until the last release.
#[tokio::test]
async fn update_lock_becomes_exclusive_and_stays_so() {
    let double = Double::start().await;
    let locker = Locker::connect(&double.url()).await.unwrap();
    let other = Locker::connect(&double.url()).await.unwrap();
    let mut guard = locker.lock("k").mode(Mode::Update).acquire().await.unwrap();
    guard.upgrade().await.unwrap();
    let error = guard.downgrade().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("strongest mode"), "{error}");
    assert_eq!(guard.mode(), Mode::Exclusive);
    guard.verify().await.unwrap();
    assert!(other.lock("k").shared().try_acquire().await.unwrap().is_none());
    // One release is enough.
    guard.release().await.unwrap();
    other.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

/// Whatever the server says to an upgrade, the guard says what the server holds, or that it is lost.
#[tokio::test]
async fn answer_that_means_nothing_changes_no_mode() {
    for fault in NO_ANSWERS.into_iter().chain(["code:-1", "code:-3"]) {
        let double = Double::start().await;
        let locker = Locker::connect(&double.url()).await.unwrap();
        let mut guard = locker.lock("k").mode(Mode::Update).acquire().await.unwrap();
        next_is(double, fault).await;
        let changed = in_time("an answer", SOON, guard.upgrade()).await;
        match (fault, &changed) {
            ("error:1205", Err(Error::Deadlock { .. })) => {}
            // Nor is a no believed where the server shows that it is held.
            (_, Err(error)) => assert!(error.is_lost(), "{fault}: {error}"),
            (_, Ok(())) => panic!("{fault} is taken for a yes"),
        }
        if changed.is_err_and(|error| error.is_lost()) {
            let other = Locker::connect(&double.url()).await.unwrap();
            let lock = other.lock("k").timeout(SOON);
            in_time("the lock", SOON, lock.acquire()).await.unwrap().release().await.unwrap();
            continue;
        }
        let mode =
            "SELECT l.request_mode FROM sys.dm_tran_locks l WHERE l.resource_type='APPLICATION'";
        let shown = rows(&mut double.client().await, mode).await.unwrap();
        let shown = shown[0].get::<&str, _>(0).unwrap().to_owned();
        let says = if guard.mode() == Mode::Exclusive { "X" } else { "U" };
        assert_eq!(shown, says, "{fault}");
        guard.release().await.unwrap();
    }
}
