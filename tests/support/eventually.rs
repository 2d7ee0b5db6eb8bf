//! Waiting for what must come, with an end.

use std::time::{Duration, Instant};

use dlock::{Error, Lock};

/// How often to look.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until the condition is true.
///
/// # Panics
/// When it is not in this time.
pub async fn eventually(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    eventually_async(what, limit, async || condition()).await;
}

/// [`eventually`] for a condition that has to ask somebody. Says how long it took.
///
/// # Panics
/// When it is not in this time.
pub async fn eventually_async(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    loop {
        // Looked at the time before the question: what is true at the end of the limit is in time.
        let late = start.elapsed() > limit;
        if condition().await {
            return start.elapsed();
        }
        assert!(!late, "not within {limit:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes something that lasts several times, until it lasts no longer than this: that it does can be the
/// machine's fault, but not each time.
///
/// # Panics
/// When it lasted longer each time.
pub async fn once_within(limit: Duration, mut lasts: impl AsyncFnMut() -> Duration) {
    const TIMES: u32 = 10;
    let mut least = Duration::MAX;
    for _ in 0..TIMES {
        least = least.min(lasts().await);
        if least <= limit {
            return;
        }
    }
    panic!("it took {least:?} or more each time, and not {limit:?}");
}

/// The timeout of a lock that somebody else holds, with who holds it. A caller whose time is up waits 50 ms at most to
/// learn that, and a busy machine may need longer: it is asked until it tells.
///
/// # Panics
/// When no timeout of this lock names the holder, or when it fails in another way.
pub async fn timeout_with_holder(lock: &Lock) -> Error {
    const LIMIT: Duration = Duration::from_secs(20);
    let start = Instant::now();
    loop {
        match lock.acquire().await {
            Err(error @ Error::Timeout { holder: Some(_), .. }) => return error,
            Err(Error::Timeout { .. }) if start.elapsed() < LIMIT => {}
            other => panic!("no holder: {other:?}"),
        }
    }
}

/// The future's output.
///
/// # Panics
/// When it does not end in this time.
pub async fn in_time<F: Future>(what: &str, limit: Duration, future: F) -> F::Output {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}
