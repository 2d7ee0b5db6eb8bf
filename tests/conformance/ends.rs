//! A program that ends in good order leaves nothing behind.

use std::time::Duration;

use dlock_tests::{Backend, Site, Temp, eventually, eventually_async, taker};

const LIMIT: Duration = Duration::from_secs(20);
/// A server sees the end of a session soon after that of its process.
const SEEN: Duration = Duration::from_secs(5);

/// Nor does it say that it holds something. (`taker.rs` has what each of them does.)
pub(crate) async fn leave_nothing_behind(site: Site) {
    let folder = Temp::new();
    let theirs = site.locker().await;
    let leases = site.backend.is_some_and(Backend::is_lease);
    for how in [
        "guard-in-scope",
        "locker-before-guard",
        "release-without-locker",
        "blocking-panic",
        "locker-in-a-static",
        "registry",
        "exit",
        "main-returns",
        "current-thread",
        "error",
        "panic",
        "select",
        "background",
        "tasks",
        "shutdown",
    ] {
        let file = folder.file(how);
        let mut taker = taker!(site, "end", how, how, file.display());
        taker.says("held").await;
        if how == "shutdown" {
            taker.says("closed").await;
        }
        eventually(how, LIMIT, || taker.ended().is_some()).await;
        let lock = theirs.lock(how);
        if leases {
            // A row that is left has no end before its ttl.
            let guard = lock.try_acquire().await.unwrap();
            guard.unwrap_or_else(|| panic!("{how}: a lease is left")).release().await.unwrap();
        } else {
            eventually_async(how, SEEN, async || lock.try_acquire().await.unwrap().is_some()).await;
        }
        let said = std::fs::read_to_string(&file).unwrap();
        assert!(said.starts_with("idle\n"), "{how}: {said}");
    }
}

/// Whoever releases a lock, and is the last to use its locker, has it released: whatever comes next.
pub(crate) async fn of_a_locker_do_not_overtake_a_release(site: Site) {
    let theirs = site.locker().await;
    for n in 0..20_u32 {
        let ours = site.locker().await;
        let guard = ours.lock("k").acquire().await.unwrap();
        drop(ours);
        if n % 2 == 0 {
            guard.release().await.unwrap();
        } else {
            dlock_tests::on_a_thread(move || guard.release_blocking().unwrap());
        }
        let next = theirs.lock("k").try_acquire().await.unwrap();
        next.unwrap_or_else(|| panic!("round {n}: it is not free")).release().await.unwrap();
    }
    // The same of several keys, and of a permit.
    for n in 0..10_u32 {
        let ours = site.locker().await;
        let guard = ours.lock_all(["a", "b"]).acquire().await.unwrap();
        drop(ours);
        guard.release().await.unwrap();
        for key in ["a", "b"] {
            let next = theirs.lock(key).try_acquire().await.unwrap();
            next.unwrap_or_else(|| panic!("round {n}: {key} is not free")).release().await.unwrap();
        }
        let ours = site.locker().await;
        let guard = ours.lock("p").permits(2).acquire().await.unwrap();
        drop(ours);
        guard.release().await.unwrap();
        let one = theirs.lock("p").permits(2).acquire().await.unwrap();
        let two = theirs.lock("p").permits(2).try_acquire().await.unwrap();
        two.unwrap_or_else(|| panic!("round {n}: a permit is not free")).release().await.unwrap();
        one.release().await.unwrap();
    }
}
