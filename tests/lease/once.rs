//! Once in a period.

use std::time::{Duration, Instant};

use dlock::{Error, Guard, Locker, Stage, locked};
use dlock_tests::{Site, Wall, not_run, taker};

const DAY: Duration = Duration::from_secs(86_400);

/// Whether this is what they get who come too early.
fn is_done(error: &Error) -> bool {
    matches!(error, Error::Timeout { stage: Stage::Done, holder: None, .. })
}

pub(crate) async fn success_keeps_it_over_the_end_of_the_locker(site: Site) {
    let locker = site.locker().await;
    let lock = locker.lock("k").once_per(DAY);
    let guard = lock.acquire().await.unwrap();
    guard.complete().await.unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(100)] {
        // In this process, and then in any other.
        let error = lock.clone().timeout(timeout).acquire().await.unwrap_err();
        assert!(is_done(&error), "{error}");
        assert!(error.to_string().contains("done already in this period"), "{error}");
    }
    assert!(lock.try_acquire().await.unwrap().is_none());
    locker.close().await;
    let other = site.locker().await;
    let lock = other.lock("k").once_per(DAY).timeout(Duration::ZERO);
    assert!(is_done(&lock.acquire().await.unwrap_err()));
    // Without the period it is as taken: the row says so.
    assert!(other.lock("k").try_acquire().await.unwrap().is_none());
}

pub(crate) async fn failure_frees_it(site: Site) {
    let (one, two) = (site.locker().await, site.locker().await);
    for by_drop in [true, false] {
        let guard = one.lock("k").once_per(DAY).acquire().await.unwrap();
        let busy = two.lock("k").once_per(DAY).timeout(Duration::ZERO).acquire().await.unwrap_err();
        assert!(busy.is_timeout() && !is_done(&busy), "somebody is at it: {busy}");
        if by_drop {
            drop(guard)
        } else {
            guard.release().await.unwrap()
        }
        two.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
}

pub(crate) async fn next_period_begins_with_the_grant(site: Site) {
    const PERIOD: Duration = Duration::from_secs(2);
    let (one, two) = (site.locker().await, site.locker().await);
    let mut fence = 0;
    for locker in [&one, &two, &one] {
        let guard = locker.lock("k").once_per(PERIOD).acquire().await.unwrap();
        // By the server's clock, which may have been read some time ago.
        let granted = Instant::now();
        let next = guard.fence().unwrap();
        assert!(next > fence);
        fence = next;
        guard.complete().await.unwrap();
        let guard = two.lock("k").acquire().await.unwrap();
        let after = granted.elapsed();
        assert!(after > PERIOD - Duration::from_millis(500), "{after:?}");
        guard.release().await.unwrap();
    }
}

pub(crate) async fn period_is_refused_where_it_makes_no_sense(site: Site) {
    let locker = site.locker().await;
    for period in [Duration::ZERO, 400 * DAY] {
        let error = locker.lock("k").once_per(period).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
    let sessions = dlock::Locker::connect("memory:once").await.unwrap();
    let error = sessions.lock("k").once_per(DAY).acquire().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("lease+"), "{error}");
}

#[locked(key = "job:<id>", once_per = "1d", locker = at, timeout = 0, on_busy = skip)]
async fn job(at: &Locker, id: u32, fails: bool) -> Result<bool, Error> {
    if fails { Err(Error::Closed) } else { Ok(true) }
}

#[locked(key = "job:<id>", once_per = "1d", locker = at, timeout = 0, on_busy = skip, release = background)]
fn job_sync(at: &Locker, id: u32, fails: bool) -> Result<bool, Error> {
    if fails { Err(Error::Closed) } else { Ok(true) }
}

#[locked(key = "counted", once_per = period, locker = at, timeout = 0, on_busy = skip, on_error = |_| {})]
async fn without_a_result(at: &Locker, period: Duration, runs: &mut u32) {
    *runs += 1;
}

#[locked(keys = ["a", "b"], once_per = DAY, locker = at, timeout = 0, on_busy = skip)]
fn of_several_keys(at: &Locker) -> Result<bool, Error> {
    Ok(true)
}

/// What the attribute makes of a body's end.
pub(crate) async fn attribute_completes_what_succeeds(site: Site) {
    let (one, two) = (site.locker().await, site.locker().await);
    // The second one finds free what the first one has yet to let go: it is of the same process.
    assert!(job_sync(&one, 1, true).is_err() && job(&one, 1, true).await.is_err());
    assert!(job(&two, 1, false).await.unwrap(), "a failure frees it");
    assert!(!job(&one, 1, false).await.unwrap() && !job_sync(&one, 1, false).unwrap());
    assert!(job_sync(&one, 2, false).unwrap());
    // The release is on its way.
    one.close().await;
    assert!(!job(&two, 2, false).await.unwrap(), "not again");
    let mut runs = 0;
    for _ in 0..2 {
        without_a_result(&two, DAY, &mut runs).await;
    }
    assert_eq!(runs, 1);
    assert!(of_several_keys(&two).unwrap() && !of_several_keys(&two).unwrap());
    for key in ["a", "b"] {
        let error = two.lock(key).once_per(DAY).timeout(Duration::ZERO).acquire().await;
        assert!(is_done(&error.unwrap_err()));
    }
    two.lock("blocking").once_per(DAY).acquire_blocking().unwrap().complete_blocking().unwrap();
    assert!(two.lock("blocking").try_acquire_blocking().unwrap().is_none());
}

#[locked(key = "guarded", once_per = "1d", locker = at, timeout = 0, guard = lock)]
async fn guarded(at: &Locker, fails: bool) -> Result<u64, Error> {
    let fence = lock.fence().unwrap();
    // The outcome is not known yet.
    lock.release().await?;
    let other = at.lock("guarded").timeout(Duration::ZERO).acquire().await;
    assert!(
        matches!(other, Err(Error::Reentrant { .. }) | Err(Error::Timeout { .. })),
        "{other:?}"
    );
    if fails { Err(Error::Closed) } else { Ok(fence) }
}

#[locked(key = "kept", once_per = "1d", locker = at, timeout = 0, guard = lock)]
fn kept(at: &Locker) -> Result<Guard, Error> {
    Ok(lock)
}

#[locked(key = "tree", once_per = "1d", reentrant, locker = at, timeout = 0)]
async fn tree(at: &Locker, depth: u32) -> Result<(), Error> {
    match depth {
        0 => Ok(()),
        1 => Box::pin(tree(at, 0)).await.and(Err(Error::Closed)),
        _ => Box::pin(tree(at, 1)).await.or(Ok(())),
    }
}

/// A guard in the body does not end the lock before the body's end is known, and of bodies in one
/// another the outermost decides.
pub(crate) async fn end_of_the_whole_body_decides(site: Site) {
    let (one, two) = (site.locker().await, site.locker().await);
    assert!(guarded(&one, true).await.is_err());
    assert!(guarded(&two, false).await.unwrap() > 0);
    assert!(is_done(&guarded(&one, false).await.unwrap_err()));

    let guard = kept(&one).unwrap();
    let busy = kept(&two).unwrap_err();
    assert!(busy.is_timeout() && !is_done(&busy), "its owner has it: {busy}");
    guard.release().await.unwrap();
    assert!(is_done(&kept(&two).unwrap_err()), "the body had succeeded");

    assert!(tree(&one, 1).await.is_err(), "the inner one has succeeded, the outer one has not");
    tree(&two, 2).await.unwrap();
    assert!(is_done(&tree(&one, 0).await.unwrap_err()));
}

#[locked(key = "losing", once_per = "1d", locker = at, on_lost = report)]
async fn losing(at: &Locker, other: &Locker) -> Result<(), Error> {
    assert!(other.break_lock("losing").await?);
    // It would learn that by its next renewal only.
    other.lock("losing").acquire().await?.release().await
}

#[locked(key = "panicking", once_per = "1d", locker = at)]
async fn panicking(at: &Locker) -> Result<(), Error> {
    panic!("as it is to")
}

/// A loss, a panic and a cancelled call are no success.
pub(crate) async fn what_does_not_end_well_is_no_success(site: Site) {
    let (one, two) = (site.locker().await, site.locker().await);
    let lost = losing(&one, &two).await;
    assert!(lost.as_ref().is_err_and(Error::is_lost), "{lost:?}");
    two.lock("losing").once_per(DAY).acquire().await.unwrap().release().await.unwrap();

    let task = tokio::spawn({
        let one = one.clone();
        async move { panicking(&one).await }
    });
    assert!(task.await.unwrap_err().is_panic());
    two.lock("panicking").once_per(DAY).acquire().await.unwrap().release().await.unwrap();

    let never = async |_: &Guard| std::future::pending::<()>().await;
    let lock = one.lock("cancelled").once_per(DAY);
    tokio::select! {
        _ = lock.run(never) => unreachable!(),
        () = tokio::time::sleep(Duration::from_millis(20)) => {}
    }
    two.lock("cancelled").once_per(DAY).acquire().await.unwrap().release().await.unwrap();
}

/// After a restart or a kill, others find a success, and nothing of a failure.
pub(crate) async fn success_outlasts_its_process(site: Site) {
    let site = site.ttl(Duration::from_secs(1));
    let mut killed = taker!(site, "once", "k", "die");
    killed.says("runs").await;
    killed.kill();
    let mut run = taker!(site, "once", "k", "complete");
    // When the lease of the killed one has run out.
    run.says("runs").await;
    run.says("completed").await;
    run.kill();
    for _ in 0..2 {
        let mut again = taker!(site, "once", "k", "again");
        again.says("done already").await;
    }
}

/// The clocks of the hosts are hours apart, and the database's counts.
pub(crate) async fn clocks_of_hosts_do_not_matter(site: Site) {
    let Some(late) = Wall::new() else {
        return not_run(
            "a wall clock that is set",
            "libfaketime is not installed: run tests/setup",
        );
    };
    let early = Wall::new().unwrap();
    late.set(-7 * 3600);
    early.set(30 * 24 * 3600);
    for (first, second, key) in [(&late, &early, "a"), (&early, &late, "b")] {
        let mut run = taker!(site, by Some(first), "once", key, "complete");
        run.says("runs").await;
        run.says("completed").await;
        let mut again = taker!(site, by Some(second), "once", key, "again");
        again.says("done already").await;
    }
}
