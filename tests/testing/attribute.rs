//! `#[locked]` code, unchanged, under a locker for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dlock::testing::Locker;
use dlock::testing::What::{Lost, Refused, Released, Taken, Waited};
use dlock::{Error, Guard, Result, locked};
use tokio::time::{Instant, sleep};

#[locked(key = "user:<id>", timeout = 10)]
async fn rename(id: i64) -> Result<i64> {
    sleep(Duration::from_secs(3)).await;
    Ok(id)
}

#[locked(key = "report:<day>", timeout = 0, on_busy = skip)]
async fn report(day: u32) -> Result<Option<u32>> {
    Ok(Some(day))
}

#[locked(key = "export", on_lost = cancel)]
async fn export(reached: Arc<AtomicU32>) -> Result<()> {
    reached.fetch_add(1, Ordering::SeqCst);
    sleep(Duration::from_secs(60)).await;
    reached.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[locked(key = "import", on_lost = report)]
async fn import(reached: Arc<AtomicU32>) -> Result<()> {
    sleep(Duration::from_secs(60)).await;
    reached.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[locked(key = "nightly", once_per = "1d", timeout = 0, on_busy = skip)]
async fn nightly(fails: bool) -> Result<Option<u32>> {
    if fails { Err(Error::Closed) } else { Ok(Some(1)) }
}

#[locked(key = "account", fenced, guard = lock)]
async fn fenced() -> Result<Option<u64>> {
    Ok(lock.fence())
}

#[locked(key = "lapsing", ttl = "2s", auto_renew = false)]
async fn lapsing() -> Result<()> {
    sleep(Duration::from_secs(5)).await;
    Ok(())
}

#[locked(key = "pool", permits = 2, timeout = 5)]
async fn pooled() -> Result<()> {
    sleep(Duration::from_secs(4)).await;
    Ok(())
}

#[locked(keys = ["account:<a>", "account:<b>"], timeout = 5)]
async fn transfer(a: u32, b: u32) -> Result<()> {
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

#[locked(key = "page", mode = shared, timeout = 5)]
async fn read() -> Result<()> {
    sleep(Duration::from_secs(3)).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn timeout_passes_by_the_paused_clock() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    assert_eq!(rename(7).await.unwrap(), 7);
    dlock.busy("user:7");
    let (real, began) = (std::time::Instant::now(), Instant::now());
    let error = rename(7).await.unwrap_err();
    assert!(
        matches!(error, Error::Timeout { waited, .. } if waited == Duration::from_secs(10)),
        "{error:?}"
    );
    let waited = began.elapsed();
    assert!((10..11).contains(&waited.as_secs()), "{waited:?}");
    assert!(real.elapsed() < Duration::from_secs(5));
    assert!(error.to_string().contains("somebody else"), "{error}");
    assert_eq!(
        dlock.history(),
        [(Taken, "user:7"), (Released, "user:7"), (Waited, "user:7"), (Refused, "user:7")]
    );
}

#[tokio::test(start_paused = true)]
async fn waiter_gets_what_is_freed_meanwhile() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    dlock.busy("user:7");
    let freed = async {
        sleep(Duration::from_secs(9)).await;
        dlock.free("user:7");
    };
    let began = Instant::now();
    let (renamed, ()) = tokio::join!(rename(7), freed);
    renamed.unwrap();
    assert_eq!(began.elapsed().as_secs(), 12);
    // Two of ours exclude each other too: the second one waits three seconds for the first.
    let (a, b) = tokio::join!(rename(7), rename(7));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(began.elapsed().as_secs(), 18);
}

#[tokio::test(start_paused = true)]
async fn skip_skips() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    assert_eq!(report(1).await.unwrap(), Some(1));
    dlock.busy("report:1");
    assert_eq!(report(1).await.unwrap(), None);
    assert_eq!(report(2).await.unwrap(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn loss_cancels_or_is_reported() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    let lose = async |key: &str| {
        sleep(Duration::from_secs(5)).await;
        assert_eq!(dlock.lose(key), 1);
    };
    let reached = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let (lost, ()) = tokio::join!(export(reached.clone()), lose("export"));
    assert!(lost.unwrap_err().is_lost());
    assert_eq!((reached.load(Ordering::SeqCst), began.elapsed().as_secs()), (1, 5));
    let (lost, ()) = tokio::join!(import(reached.clone()), lose("import"));
    assert!(lost.unwrap_err().is_lost());
    assert_eq!((reached.load(Ordering::SeqCst), began.elapsed().as_secs()), (2, 65));
    assert_eq!(
        dlock.history(),
        [(Taken, "export"), (Lost, "export"), (Taken, "import"), (Lost, "import")]
    );
}

#[tokio::test(start_paused = true)]
async fn once_a_period_is_once_a_period() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    assert!(nightly(true).await.is_err());
    assert_eq!(nightly(false).await.unwrap(), Some(1));
    assert_eq!(nightly(false).await.unwrap(), None);
    let error = dlock
        .lock("nightly")
        .once_per(Duration::from_secs(60))
        .timeout(Duration::from_secs(1))
        .acquire()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Timeout { stage: dlock::Stage::Done, .. }), "{error:?}");
    dlock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(nightly(false).await.unwrap(), None);
    // The rest passes on tokio's clock.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(nightly(false).await.unwrap(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn tokens_grow_and_leases_run_out() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    let (first, second) = (fenced().await.unwrap(), fenced().await.unwrap());
    assert!(first.is_some() && first < second, "{first:?} {second:?}");
    let began = Instant::now();
    let error = lapsing().await.unwrap_err();
    assert!(matches!(error, Error::Lost { reason: dlock::LostReason::Expired, .. }), "{error:?}");
    assert_eq!(began.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn permits_several_keys_and_readers() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    let began = Instant::now();
    let (a, b, c) = tokio::join!(pooled(), pooled(), pooled());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(began.elapsed().as_secs(), 8);
    let (a, b) = tokio::join!(transfer(1, 2), transfer(2, 1));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(began.elapsed().as_secs(), 10);
    let (a, b) = tokio::join!(read(), read());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(began.elapsed().as_secs(), 13);
    dlock.busy("pool");
    dlock.busy("account:2");
    dlock.busy("page");
    assert!(pooled().await.unwrap_err().is_timeout());
    assert!(transfer(1, 2).await.unwrap_err().is_timeout());
    assert!(read().await.unwrap_err().is_timeout());
    // Each waited its five seconds, and no more.
    assert_eq!(began.elapsed().as_secs(), 28);
    // All or none.
    assert!(dlock.lock("account:1").try_acquire().await.unwrap().is_some());
}

/// A wait for the second of two keys gets what the first has left of the time.
#[tokio::test(start_paused = true)]
async fn several_keys_have_one_deadline() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    dlock.busy("account:1");
    dlock.busy("account:2");
    let began = Instant::now();
    let freed = async {
        sleep(Duration::from_secs(4)).await;
        dlock.free("account:1");
    };
    let (refused, ()) = tokio::join!(transfer(1, 2), freed);
    assert!(refused.unwrap_err().is_timeout());
    assert_eq!(began.elapsed().as_millis(), 5000);
}

#[tokio::test(start_paused = true)]
async fn reentrant_calls_are_refused_as_ever() {
    let dlock = Locker::new();
    let nested: Result<Result<Guard>> =
        dlock.lock("k").run(async |_| dlock.lock("k").acquire().await).await;
    assert!(matches!(nested.unwrap().unwrap_err(), Error::Reentrant { .. }));
}
