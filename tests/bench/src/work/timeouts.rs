//! W5: how much later than asked a wait of half a second ends.

use std::time::Duration;

use crate::args::Args;
use crate::clock::{now, percentile};
use crate::locks::Locks;

pub async fn run<L: Locks>(args: &Args) -> String {
    let locks = L::connect(args).await;
    let other = L::connect(args).await;
    let held = other.acquire("bench:busy", None).await.unwrap();
    let time = Duration::from_millis(500);
    let mut late = Vec::new();
    let end = now() + args.window().as_nanos() as u64;
    while now() < end {
        let begun = now();
        assert!(locks.acquire("bench:busy", Some(time)).await.is_none());
        late.push((now() - begun) as i64 - time.as_nanos() as i64);
    }
    other.release(held).await;
    let min = late.iter().min().copied().unwrap_or(0) as f64 / 1000.0;
    format!(
        r#"{{"overshoot_min_us":{min:.1},"overshoot_p50_us":{:.1},"overshoot_p99_us":{:.1},"tries":{}}}"#,
        percentile(&mut late, 0.5),
        percentile(&mut late, 0.99),
        late.len()
    )
}
