//! Waiting for what must come, with an end.

use std::time::{Duration, Instant};

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
