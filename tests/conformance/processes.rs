//! Several processes.

use std::time::{Duration, Instant};

use dlock_tests::{Site, Temp, history, in_time, taker, unique};

/// Four processes, two of them sync, add to one file.
pub(crate) async fn four_processes_count_right(site: Site) {
    let folder = Temp::new();
    let file = folder.file("number");
    std::fs::write(&file, "0").unwrap();
    let mut takers: Vec<_> = ["increment", "increment-blocking"]
        .into_iter()
        .cycle()
        .take(4)
        .map(|command| taker!(site, command, "counter", file.display(), 100))
        .collect();
    for taker in &mut takers {
        taker.says("done").await;
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "400");
}

/// The whole history of four processes, from their own records.
pub(crate) async fn exclude_each_other_at_every_moment(site: Site) {
    let folder = Temp::new();
    let mut takers: Vec<_> =
        (0..4).map(|n| taker!(site, "history", 3, folder.file(&n.to_string()).display())).collect();
    for taker in &mut takers {
        taker.says("begun").await;
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut holds = Vec::new();
    for (n, taker) in takers.iter_mut().enumerate() {
        taker.tell("stop");
        taker.says("done").await;
        let mine = history::read(&folder.file(&n.to_string()), &format!("process {n}"), false);
        assert!(mine.len() > 10, "process {n} was starved: {} holds", mine.len());
        assert!(mine.iter().all(|hold| !hold.lost), "process {n} has lost a lock");
        holds.extend(mine);
    }
    history::verify(&holds, Duration::ZERO).unwrap();
}

pub(crate) async fn killed_holder_frees_the_lock(site: Site) {
    let ttl = Duration::from_secs(2);
    let postgres = site.url.starts_with("postgres");
    // The server sees the end of a session by itself; a lease runs out.
    let (site, limit) =
        if postgres { (site, ttl) } else { (site.ttl(ttl), ttl + Duration::from_secs(1)) };
    let locker = site.locker().await;
    let mut taker = taker!(site, "hold", "k");
    taker.says("waits").await;
    assert!(taker.line().await.starts_with("held"));
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
    let waiting = tokio::spawn({
        let lock = locker.lock("k");
        async move { lock.acquire().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    let killed = Instant::now();
    taker.kill();
    let guard = in_time("the lock of the killed process", limit, waiting).await.unwrap().unwrap();
    assert!(killed.elapsed() <= limit);
    guard.release().await.unwrap();
}

/// A waiter that is killed does not keep the lock from others. The server may still do what it was asked last:
/// then it has a lease for its ttl.
pub(crate) async fn killed_waiter_is_forgotten(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let held = ours.lock("k").acquire().await.unwrap();
    let mut taker = taker!(site.ttl(Duration::from_secs(2)), "hold", "k");
    taker.says("waits").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    taker.kill();
    held.release().await.unwrap();
    let lock = theirs.lock("k").timeout(Duration::from_secs(25));
    lock.acquire().await.unwrap().release().await.unwrap();
}

pub(crate) async fn release_of_one_is_the_turn_of_another(site: Site) {
    let mut first = taker!(site, "hold", "k");
    first.says("waits").await;
    assert!(first.line().await.starts_with("held"));
    let mut second = taker!(site, "hold", "k");
    second.says("waits").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(second.said(), None);
    first.tell("release");
    first.says("released").await;
    assert!(second.line().await.starts_with("held"));
    second.tell("release");
    second.says("released").await;
}

/// Its copy of a guard is nothing, its copy of the registry is filled anew; the lock is the parent's.
pub(crate) async fn child_of_a_fork_harms_nobody(site: Site) {
    let theirs = site.namespace("").locker().await;
    let key = unique("fork");
    let mut taker = taker!(site, "fork", key);
    taker.says("the child is fine").await;
    assert!(theirs.lock(&key).try_acquire().await.unwrap().is_none());
    taker.tell("go on");
    taker.says("the parent is fine").await;
}
