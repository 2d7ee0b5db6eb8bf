//! What Oracle says, in each of its ways, and what a locker makes of it.

use std::time::Duration;

use dlock::{Error, KeyScheme, Locker, Mode, Severity};
use dlock_tests::oracle::{Double, PASSWORD, SOON, count, number};
use dlock_tests::{eventually_async, in_time};

/// Neither yes nor no, or no answer at all.
const NO_ANSWERS: [&str; 9] =
    ["null", "code:3", "code:5", "code:6", "code:-1", "code:-600", "cut", "hang_up", "error:600"];
/// No.
const REFUSALS: [&str; 3] = ["code:1", "code:2", "code:4"];

const WAITS: &str = "SELECT COUNT(*) FROM v$lock WHERE type = 'UL' AND request > 0";

async fn locker(double: Double) -> Locker {
    Locker::connect(&double.url()).await.unwrap()
}

async fn is_had_by_others(double: Double, key: &str) {
    let other = locker(double).await;
    let lock = other.lock(key).timeout(SOON);
    in_time("the lock", SOON, lock.acquire()).await.unwrap().release().await.unwrap();
}

/// A session that holds nothing is replaced, and the new one asked once more; so this one holds
/// something.
#[tokio::test(flavor = "multi_thread")]
async fn answer_that_means_nothing_is_never_a_grant() {
    for fault in NO_ANSWERS.into_iter().chain(REFUSALS) {
        let double = Double::start();
        let locker = locker(double).await;
        let held = locker.lock("held").acquire().await.unwrap();
        double.fault(fault, "wanted-key");
        let tried = in_time("an answer", SOON, locker.lock("wanted-key").try_acquire()).await;
        match (&tried, REFUSALS.contains(&fault)) {
            (Ok(None), true) => held.verify().await.unwrap(),
            (Err(_), false) => {}
            _ => panic!("{fault}: {tried:?}"),
        }
        drop(held);
        // Nor does the session that gave it keep the lock from anybody.
        is_had_by_others(double, "wanted-key").await;
    }
}

/// The same of the answer to a wait.
#[tokio::test(flavor = "multi_thread")]
async fn wait_whose_answer_means_nothing_is_never_a_grant() {
    for fault in NO_ANSWERS.into_iter().chain(["code:4"]) {
        let double = Double::start();
        let (ours, theirs) = (locker(double).await, locker(double).await);
        let held = theirs.lock("wanted-key").acquire().await.unwrap();
        let lock = ours.lock("wanted-key").timeout(SOON);
        // A key that was refused a moment ago is waited for at once.
        assert!(lock.try_acquire().await.unwrap().is_none());
        double.fault(fault, "wanted-key");
        let waiting = tokio::spawn(async move { lock.acquire().await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        held.release().await.unwrap();
        if let Ok(guard) = in_time("an answer", SOON, waiting).await.unwrap() {
            // It was asked for once more: then it is held.
            assert!(theirs.lock("wanted-key").try_acquire().await.unwrap().is_none(), "{fault}");
            guard.release().await.unwrap();
        }
        is_had_by_others(double, "wanted-key").await;
    }
}

/// The session that waits holds nothing: others are at fault, and the wait goes on by tries.
#[tokio::test(flavor = "multi_thread")]
async fn deadlock_of_a_wait_is_no_end_of_it() {
    let double = Double::start();
    let (ours, theirs) = (locker(double).await, locker(double).await);
    let held = theirs.lock("wanted-key").acquire().await.unwrap();
    let lock = ours.lock("wanted-key").timeout(SOON);
    assert!(lock.try_acquire().await.unwrap().is_none());
    double.fault("code:2", "wanted-key");
    let mut waiting = tokio::spawn(async move { lock.acquire().await });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    held.release().await.unwrap();
    in_time("the lock", SOON, waiting).await.unwrap().unwrap().release().await.unwrap();
}

/// A handle that the server does not know any more is asked for anew.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_handle_is_forgotten() {
    let double = Double::start();
    let locker = locker(double).await;
    let held = locker.lock("held").acquire().await.unwrap();
    let lock = locker.lock("k");
    lock.acquire().await.unwrap().release().await.unwrap();
    // By its handle.
    double.fault("code:5", "r6h");
    let error = lock.try_acquire().await.unwrap_err();
    assert!(matches!(error, Error::Backend { .. }), "{error:?}");
    held.verify().await.unwrap();
    lock.try_acquire().await.unwrap().unwrap().release().await.unwrap();
}

/// Whatever the server says to a change of mode, the guard says what the server holds, or that it is
/// lost.
#[tokio::test(flavor = "multi_thread")]
async fn answer_that_means_nothing_changes_no_mode() {
    for fault in NO_ANSWERS.into_iter().chain(["code:4"]) {
        let double = Double::start();
        let locker = locker(double).await;
        let mut guard = locker.lock("k").shared().acquire().await.unwrap();
        double.fault(fault, "c6h");
        let changed = in_time("an answer", SOON, guard.upgrade()).await;
        let Err(error) = changed else { panic!("{fault} is taken for a yes") };
        if error.is_lost() {
            is_had_by_others(double, "k").await;
            continue;
        }
        assert_eq!(guard.mode(), Mode::Shared, "{fault}: {error}");
        let mode = "SELECT MAX(lmode) FROM v$lock WHERE type = 'UL'";
        assert_eq!(count(&double.client(), mode), 4, "{fault}");
        guard.release().await.unwrap();
    }
}

/// What an error of the server's is to the caller: its kind, what it says, and whether the session
/// and its locks stay.
#[tokio::test(flavor = "multi_thread")]
async fn errors_have_their_kinds() {
    let double = Double::start();
    let locker = locker(double).await;
    type Is = fn(&Error) -> bool;
    let unavailable: Is = |error| matches!(error, Error::Unavailable { .. });
    let backend: Is = |error| matches!(error, Error::Backend { .. });
    let permission: Is = |error| matches!(error, Error::Permission { .. });
    for (number, kind, stays) in [
        (54, unavailable, true),
        (60, unavailable, true),
        (8177, unavailable, true),
        (1031, permission, true),
        (1722, backend, true),
        (4025, backend, true),
        (28, unavailable, false),
        (1089, unavailable, false),
        (3113, unavailable, false),
    ] {
        let held = locker.lock("held").timeout(SOON).acquire().await.unwrap();
        let lost = held.lost();
        let key = format!("wanted-key-{number}");
        double.fault(&format!("error:{number}"), &key);
        match in_time("an answer", SOON, locker.lock(key).try_acquire()).await {
            // A session that has ended is replaced, and the new one asked once more.
            Ok(Some(_)) if !stays => {}
            Err(error) if kind(&error) => {}
            tried => panic!("ORA-{number}: {tried:?}"),
        }
        if stays {
            held.verify().await.unwrap();
            held.release().await.unwrap();
        } else {
            in_time("the news", SOON, lost).await;
            assert!(matches!(held.release().await, Err(Error::Lost { .. })));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_is_noticed_when_the_server_ends_the_session() {
    let double = Double::start();
    let client = double.client();
    let locker = locker(double).await;
    let guard = locker.lock("k").acquire().await.unwrap();
    let lost = guard.lost();
    let holder = "SELECT l.sid FROM v$lock l WHERE l.type = 'UL' AND l.lmode > 0";
    let sid = count(&client, holder);
    let serial = count(&client, &format!("SELECT serial# FROM v$session WHERE sid = {sid}"));
    client.execute(&format!("ALTER SYSTEM KILL SESSION '{sid},{serial}'"), &[]).unwrap();
    let lost = in_time("the news", SOON, lost).await;
    assert_eq!(lost.key.as_str(), Some("k"));
    assert!(matches!(guard.release().await, Err(Error::Lost { .. })));
    is_had_by_others(double, "k").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_lock_is_lost_and_a_user_who_may_not_break_it_is_told() {
    let double = Double::start();
    let (holder, other) = (locker(double).await, locker(double).await);
    let limited = Locker::connect(&double.url_of("limited", PASSWORD)).await.unwrap();
    let guard = holder.lock("k").acquire().await.unwrap();
    let lost = guard.lost();
    drop(limited.break_lock("k").await.unwrap_err());
    assert!(!guard.is_lost());
    assert!(in_time("an end", SOON, other.break_lock("k")).await.unwrap());
    in_time("the news", SOON, lost).await;
    is_had_by_others(double, "k").await;
}

/// A wait that is not wanted any more leaves the server's queue with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn wait_that_is_dropped_leaves_the_queue() {
    let double = Double::start();
    let client = double.client();
    let (ours, theirs) = (locker(double).await, locker(double).await);
    let held = theirs.lock("k").acquire().await.unwrap();
    let lock = ours.lock("k");
    let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
    for waits in [1, 0] {
        let changed = async || count(&client, WAITS) == waits;
        eventually_async("a change in the queue", SOON, changed).await;
        waiting.abort();
    }
    held.release().await.unwrap();
    ours.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn user_without_rights_is_told_what_to_grant() {
    let double = Double::start();
    let limited = double.url_of("limited", PASSWORD);
    let (locker, other) =
        (Locker::connect(&limited).await.unwrap(), Locker::connect(&limited).await.unwrap());
    let held = locker.lock("k").acquire().await.unwrap();
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    assert!(report.to_string().contains("GRANT SELECT_CATALOG_ROLE"), "{report}");
    assert!(report.findings.iter().all(|found| found.severity == Severity::Note), "{report}");
    let lock = other.lock("k").timeout(Duration::from_millis(100));
    let error = lock.acquire().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    held.release().await.unwrap();
    for (url, part) in [
        (double.url_of("powerless", PASSWORD), "run as SYS: GRANT EXECUTE ON SYS.DBMS_LOCK"),
        (format!("lease+{}", double.url_of("powerless", PASSWORD)), "GRANT CREATE TABLE"),
        (double.url_of("scott", "wrong"), "password"),
        (double.url_of("nobody", PASSWORD), "password"),
    ] {
        let error = Locker::connect(&url).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Permission { .. }) && text.contains(part), "{text}");
        assert!(!text.contains(PASSWORD), "{text}");
    }
    let unknown = double.url().replace("FREEPDB1", "NOSUCH");
    let error = Locker::connect(&unknown).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Config { .. }) && text.contains("service"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standby_is_refused() {
    let double = Double::start();
    double.set("role", "PHYSICAL STANDBY");
    for url in [double.url(), format!("lease+{}", double.url())] {
        let error = Locker::connect(&url).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }) && text.contains("primary"), "{text}");
    }
}

/// What the readme's table says of where a key is one lock.
#[tokio::test(flavor = "multi_thread")]
async fn key_of_another_database_is_another_lock() {
    let double = Double::start();
    let other = Locker::connect(&double.url().replace("FREEPDB1", "FREE")).await.unwrap();
    let (locker, same) = (locker(double).await, locker(double).await);
    for key in [dlock::Key::from("k"), dlock::Key::native(7)] {
        let guard = locker.lock(&key).acquire().await.unwrap();
        other.lock(&key).try_acquire().await.unwrap().unwrap().release().await.unwrap();
        assert!(same.lock(&key).try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
    }
}

/// The number of a text's lock is the one that sqlalchemy-dlock takes: on the wire too.
#[tokio::test(flavor = "multi_thread")]
async fn number_is_that_of_sqlalchemy_dlock() {
    let double = Double::start();
    let client = double.client();
    let builder = Locker::builder(&double.url()).key_scheme(KeyScheme::SqlalchemyDlock);
    let locker = builder.connect().await.unwrap();
    for (key, id) in [("user:42", 1_016_801_241_i64), ("usér:42", 780_908_923)] {
        let request = format!("BEGIN :result := DBMS_LOCK.REQUEST({id}, 6, 0); END;");
        let guard = locker.lock(key).acquire().await.unwrap();
        assert_eq!(number(&client, &request, &[]).unwrap(), 1, "{key} is held");
        guard.release().await.unwrap();
        assert_eq!(number(&client, &request, &[]).unwrap(), 0, "{key} is free");
        assert!(locker.lock(key).try_acquire().await.unwrap().is_none());
    }
}
