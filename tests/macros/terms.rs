//! The arguments that say on what terms the lock is taken.

use std::time::Duration;

use dlock::{Error, Guard, Key, Locker, Mode, MultiGuard, locked};
use dlock_tests::Temp;

use super::{is_held, memory, poll_once};

fn leases() -> (Temp, Locker) {
    let folder = Temp::new();
    let url = format!("sqlite://{}", folder.file("locks.db").display());
    (folder, Locker::connect_blocking(&url).unwrap())
}

/// By another locker: under a lock its own refuses it.
fn is_taken(key: impl Into<Key>) -> bool {
    is_held(&memory("terms-keys"), key)
}

#[locked(keys = ["account:<from>", "account:<to>"], locker = at, guard = lock, timeout = "1s")]
async fn transfer(at: &Locker, from: u32, to: u32) -> Result<Vec<Key>, Error> {
    assert!(is_taken(format!("account:{from}")) && is_taken(format!("account:{to}")));
    Ok(lock.keys().cloned().collect())
}

#[locked(keys = ["account:<from>", Key::from(to)], locker = at)]
fn transfer_sync(at: &Locker, from: u32, to: u32) -> Result<bool, Error> {
    Ok(is_taken(format!("account:{from}")) && is_taken(to))
}

#[locked(keys = names.iter().map(String::as_str), locker = at, on_lost = ignore, release = background)]
async fn sweep(at: &Locker, names: Vec<String>) -> Result<usize, Error> {
    for name in &names {
        assert!(is_taken(name));
    }
    Ok(names.len())
}

#[locked(keys = ["a", "b"], locker = at, guard = lock)]
async fn kept(at: &Locker) -> Result<MultiGuard, Error> {
    Ok(lock)
}

#[tokio::test]
async fn several_keys_are_held_together() {
    let at = memory("terms-keys");
    assert_eq!(transfer(&at, 2, 1).await.unwrap().len(), 2);
    assert_eq!(transfer(&at, 7, 7).await.unwrap(), [Key::from("account:7")]);
    assert!(transfer_sync(&at, 1, 2).unwrap());
    assert_eq!(sweep(&at, vec!["x".into(), "y".into()]).await.unwrap(), 2);
    assert!(matches!(sweep(&at, Vec::new()).await, Err(Error::Config { .. })));

    let guard = at.lock("account:1").acquire().await.unwrap();
    let mut waiting = Box::pin(transfer(&at, 1, 2));
    poll_once(&mut waiting).await;
    guard.release().await.unwrap();
    waiting.await.unwrap();

    let both = kept(&at).await.unwrap();
    assert!(is_held(&at, "a") && is_held(&at, "b"));
    both.release().await.unwrap();
    assert!(!is_held(&at, "a") && !is_held(&at, "b"));
}

#[locked(key = "page:<id>", mode = shared, locker = at, guard = lock)]
async fn read(at: &Locker, id: u32) -> Result<Guard, Error> {
    Ok(lock)
}

#[locked(key = "page:<id>", mode = how, locker = at, timeout = 0, guard = lock)]
fn with(at: &Locker, id: u32, how: Mode) -> Result<Mode, Error> {
    Ok(lock.mode())
}

#[locked(key = "page", mode = shared_sub_exclusive, locker = at, guard = lock)]
fn of_two_words(at: &Locker) -> Result<Mode, Error> {
    Ok(lock.mode())
}

#[locked(key = "page", mode = Mode::Update, locker = at, guard = lock)]
fn of_a_path(at: &Locker) -> Result<Mode, Error> {
    Ok(lock.mode())
}

#[tokio::test]
async fn modes_are_words_or_expressions() {
    let at = memory("terms-modes");
    let readers = [read(&at, 1).await.unwrap(), read(&at, 1).await.unwrap()];
    assert!(readers.iter().all(|guard| guard.mode() == Mode::Shared));
    assert_eq!(with(&at, 1, Mode::Shared).unwrap(), Mode::Shared);
    assert!(with(&at, 1, Mode::Exclusive).unwrap_err().is_timeout());
    assert_eq!(of_two_words(&at).unwrap(), Mode::SharedSubExclusive);
    assert_eq!(of_a_path(&at).unwrap(), Mode::Update);
}

#[locked(key = "mail", permits = 2, locker = at, timeout = 0, guard = lock)]
async fn send(at: &Locker) -> Result<Guard, Error> {
    Ok(lock)
}

#[locked(key = "mail", permits = at_once, locker = at, timeout = 0)]
fn send_sync(at: &Locker, at_once: u32) -> Result<(), Error> {
    Ok(())
}

#[tokio::test]
async fn so_many_permits_are_there() {
    let at = memory("terms-permits");
    let held = [send(&at).await.unwrap(), send(&at).await.unwrap()];
    assert!(send(&at).await.unwrap_err().is_timeout());
    assert!(send_sync(&at, 2).unwrap_err().is_timeout());
    send_sync(&at, 3).unwrap();
    assert!(matches!(send_sync(&at, 0), Err(Error::Config { .. })));
    drop(held);
}

#[locked(key = "depth", reentrant, locker = at)]
async fn deep(at: &Locker, depth: u32) -> Result<u32, Error> {
    assert!(is_held(&memory("terms-reentrant"), "depth"));
    if depth == 0 { Ok(0) } else { Ok(1 + Box::pin(deep(at, depth - 1)).await?) }
}

#[locked(key = "depth", reentrant, locker = at)]
fn deep_sync(at: &Locker, depth: u32) -> Result<u32, Error> {
    if depth == 0 { Ok(0) } else { Ok(1 + deep_sync(at, depth - 1)?) }
}

#[locked(key = "depth", locker = at)]
fn flat(at: &Locker, depth: u32) -> Result<u32, Error> {
    if depth == 0 { Ok(0) } else { flat(at, depth - 1) }
}

#[tokio::test]
async fn recursion_counts_where_it_may() {
    let at = memory("terms-reentrant");
    assert_eq!(deep(&at, 3).await.unwrap(), 3);
    assert_eq!(deep_sync(&at, 3).unwrap(), 3);
    assert!(matches!(flat(&at, 1), Err(Error::Reentrant { .. })));
    assert!(!is_held(&at, "depth"));
}

#[locked(key = "import", fenced, locker = at, guard = lock)]
async fn fenced(at: &Locker) -> Result<Option<u64>, Error> {
    Ok(lock.fence())
}

#[locked(key = "import", ttl = "300ms", auto_renew = false, owner = name, locker = at, guard = lock)]
async fn ending(at: &Locker, name: &str) -> Result<Guard, Error> {
    Ok(lock)
}

#[locked(key = "import", ttl = none, retry_every = 0.005, owner = "me", locker = at)]
fn endless(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "tick", min_hold = hold, locker = at)]
async fn tick(at: &Locker, hold: Duration) -> Result<(), Error> {
    Ok(())
}

#[tokio::test]
async fn leases_are_taken_on_their_terms() {
    let (_folder, at) = leases();
    let first = fenced(&at).await.unwrap().unwrap();
    assert!(fenced(&at).await.unwrap().unwrap() > first);

    let guard = ending(&at, "a").await.unwrap();
    assert!(!guard.is_lost());
    let lost = guard.lost().await;
    assert_eq!(lost.reason, dlock::LostReason::Expired);
    endless(&at).unwrap();

    tick(&at, Duration::from_millis(200)).await.unwrap();
    assert!(is_held(&at, "tick"));
    let patient = at.lock("tick").timeout(Duration::from_secs(10));
    patient.acquire().await.unwrap().release().await.unwrap();
}

#[locked(key = "k", ttl = 10, locker = at)]
async fn with_ttl(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", auto_renew = false, locker = at)]
fn without_renewal(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "k", retry_every = "20ms", timeout = 30, locker = at)]
fn with_tries(at: &Locker) -> Result<(), Error> {
    Ok(())
}

#[tokio::test]
async fn what_the_database_has_not_is_refused() {
    let at = memory("terms-refused");
    for refused in [with_ttl(&at).await, without_renewal(&at)] {
        assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn any_lock_can_be_asked_for_by_tries() {
    let at = memory("terms-tries");
    let held = at.lock("k").acquire().await.unwrap();
    let waiting = tokio::task::spawn_blocking({
        let at = at.clone();
        move || with_tries(&at)
    });
    held.release().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[locked(keys = ["a:<x>:<y>", "b"], locker = at, guard = lock)]
fn of_two_values(at: &Locker, x: &str, y: &str) -> Result<Vec<Key>, Error> {
    let mut keys: Vec<_> = lock.keys().cloned().collect();
    keys.sort_by_key(Key::to_string);
    Ok(keys)
}

#[test]
fn values_in_keys_stay_apart() {
    let at = memory("terms-apart");
    let one = of_two_values(&at, "1:2", "3").unwrap();
    assert_eq!(one, [Key::from("a:1%3A2:3"), Key::from("b")]);
    assert_ne!(one, of_two_values(&at, "1", "2:3").unwrap());
}

#[locked(keys = ["a", "b"], locker = "nowhere at all")]
async fn without_a_locker() -> Result<(), Error> {
    Ok(())
}

#[locked(keys = ["a", "b"], locker = at, timeout = 0, on_busy = skip, on_error = |_| 0)]
fn skipping(at: &Locker) -> u32 {
    7
}

#[tokio::test]
async fn several_keys_fail_as_one_does() {
    assert!(matches!(without_a_locker().await, Err(Error::NotInstalled { .. })));
    let at = memory("terms-fail");
    assert_eq!(skipping(&at), 7);
    let guard = at.lock("b").acquire().await.unwrap();
    assert_eq!(skipping(&at), 0);
    guard.release().await.unwrap();
    assert_eq!(skipping(&at), 7);
}

#[locked(keys = ["a", "b"], locker = at)]
async fn losing(at: &Locker) -> Result<(), Error> {
    at.clone().close().await;
    tokio::task::yield_now().await;
    Ok(())
}

#[locked(keys = ["a", "b"], locker = at, on_lost = report)]
fn losing_sync(at: &Locker) -> Result<(), Error> {
    at.clone().close_blocking();
    Ok(())
}

#[tokio::test]
async fn several_keys_are_lost_as_one_is() {
    let at = memory("terms-lost");
    assert!(losing(&at).await.unwrap_err().is_lost());
    let at = memory("terms-lost-sync");
    assert!(losing_sync(&at).unwrap_err().is_lost());
}
