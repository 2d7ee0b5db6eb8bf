//! Takes and releases one lock for a while, with answered releases, and prints how often that went in a second.
//!
//! `observing VARIANT URL SECONDS`: `bare` has no subscriber and no recorder, `log` writes INFO and above, `prometheus` records
//! metrics.

use std::error::Error;
use std::time::{Duration, Instant};

use dlock::Locker;
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [variant, url, seconds] = &args[..] else {
        return Err("usage: observing VARIANT URL SECONDS".into());
    };
    match &**variant {
        "bare" => {}
        "log" => tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).init(),
        #[cfg(feature = "metrics")]
        "prometheus" => {
            drop(metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?)
        }
        other => return Err(format!("no variant {other}").into()),
    }
    let time = Duration::from_secs_f64(seconds.parse()?);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let rate = runtime.block_on(async {
        let locker = Locker::builder(url).runtime(runtime.handle().clone()).connect().await?;
        let lock = locker.lock("observing").label("observing");
        pairs(&lock, time / 10).await?;
        let rate = pairs(&lock, time).await?;
        locker.close().await;
        Ok::<f64, dlock::Error>(rate)
    })?;
    println!("{rate:.0}");
    Ok(())
}

async fn pairs(lock: &dlock::Lock, time: Duration) -> dlock::Result<f64> {
    let (begun, mut pairs) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        lock.acquire().await?.release().await?;
        pairs += 1;
    }
    Ok(f64::from(pairs) / begun.elapsed().as_secs_f64())
}
