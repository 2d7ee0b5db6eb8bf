//! Servers that say what no server says: something between that answers in their place, or a fault of
//! theirs.

use std::time::Duration;

use dlock_tests::{Forgery, Proxy, Site, in_time};

const SOON: Duration = Duration::from_secs(10);
/// How much memory an answer may cost that has no end.
const MEMORY_MAX: u64 = 400 << 20;

/// The most memory that this process has had, which runs one test.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

/// Callers are granted what is free, on another session; and the memory stays.
pub(crate) async fn rows_without_end_cost_a_session_and_no_memory(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let locker = site.through(proxy.url()).locker().await;
    let held = locker.lock("held").acquire().await.unwrap();
    // Questions may have a session of their own.
    locker.status().await.unwrap();
    let before = peak();
    proxy.forge(Forgery::RowsWithoutEnd);
    let _ = in_time("an answer", SOON, locker.status()).await;
    let other = locker.lock("other").timeout(SOON);
    let other = in_time("the lock", SOON, other.acquire()).await.unwrap();
    let costs = peak().saturating_sub(before);
    assert!(costs < MEMORY_MAX, "{costs} bytes of memory");
    other.release().await.unwrap();
    let _ = held.release().await;
}

/// What the session held is lost as soon as the answer is too long to be one.
pub(crate) async fn rows_without_end_are_the_end_of_what_the_session_held(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let (ours, theirs) = (site.through(proxy.url()).locker().await, site.locker().await);
    let held = ours.lock("held").acquire().await.unwrap();
    proxy.forge(Forgery::RowsWithoutEnd);
    let other = ours.lock("other").timeout(SOON);
    in_time("the other lock", SOON, other.acquire()).await.unwrap().release().await.unwrap();
    // Long before it would be for its time.
    in_time("news of the loss", SOON, held.lost()).await;
    let next = theirs.lock("held").timeout(SOON);
    in_time("the lock", SOON, next.acquire()).await.unwrap().release().await.unwrap();
}

/// The driver panics at such rows: that is the end of the session and of nothing else.
pub(crate) async fn rows_without_columns_are_the_end_of_the_session(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let (ours, theirs) = (site.through(proxy.url()).locker().await, site.locker().await);
    let held = ours.lock("held").acquire().await.unwrap();
    proxy.forge(Forgery::RowsWithoutColumns);
    let other = ours.lock("other").timeout(SOON);
    in_time("the other lock", SOON, other.acquire()).await.unwrap().release().await.unwrap();
    in_time("news of the loss", SOON, held.lost()).await;
    assert!(held.is_lost());
    let next = theirs.lock("held").timeout(SOON);
    in_time("the lock", SOON, next.acquire()).await.unwrap().release().await.unwrap();
    in_time("the status", SOON, ours.status()).await.unwrap();
}

/// The same of leases: their rows stay, so what is held stays held.
pub(crate) async fn rows_without_columns_are_asked_for_again(site: Site) {
    let proxy = Proxy::to(&site.url).await;
    let ours = site.through(proxy.url()).locker().await;
    let held = ours.lock("held").acquire().await.unwrap();
    proxy.forge(Forgery::RowsWithoutColumns);
    let other = ours.lock("other").timeout(SOON);
    in_time("the other lock", SOON, other.acquire()).await.unwrap().release().await.unwrap();
    in_time("an answer", SOON, held.verify()).await.unwrap();
    held.release().await.unwrap();
}
