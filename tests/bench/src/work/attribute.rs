//! W8: what `#[locked]` adds to the same calls written by hand.
//!
//! Slices of both take turns in one process, so that whatever slows the machine down meets both.

use std::future::Future;

use dlock::{Error, Locker, locked};
use tokio::runtime::Handle;

use crate::args::Args;
use crate::clock::now;

/// Of both together.
const SLICES: usize = 200;

#[locked(key = "user:<id>", locker = at)]
async fn by_attribute(at: &Locker, id: u64) -> Result<u64, Error> {
    Ok(id)
}

async fn by_hand(at: &Locker, id: u64) -> Result<u64, Error> {
    let guard = at.lock(format!("user:{id}")).acquire().await?;
    let done = Ok(id);
    guard.release().await?;
    done
}

pub async fn run(args: &Args) -> String {
    // On this very thread: a hop between threads would hide what is compared.
    let builder = Locker::builder(&args.url).runtime(Handle::current());
    let at = &builder.connect().await.unwrap();
    // How many pairs a slice has: always as many, so that its time is all that differs.
    let warm = 2_000;
    let (hand, attribute) = (|id| by_hand(at, id), |id| by_attribute(at, id));
    let pace = slice(warm, hand).await.max(slice(warm, attribute).await);
    let pairs = ((args.seconds * 1e9 / SLICES as f64 / pace) as u64).max(10);
    let (mut by_hand, mut by_attribute) = (Vec::new(), Vec::new());
    for turn in 0..SLICES / 2 {
        // Whoever comes first has no advantage of it.
        if turn % 2 == 0 {
            by_hand.push(slice(pairs, hand).await);
            by_attribute.push(slice(pairs, attribute).await);
        } else {
            by_attribute.push(slice(pairs, attribute).await);
            by_hand.push(slice(pairs, hand).await);
        }
    }
    let (hand, attribute) = (median(by_hand), median(by_attribute));
    format!(
        r#"{{"ratio":{:.4},"by_hand_ns":{hand:.1},"by_attribute_ns":{attribute:.1},"pairs_a_slice":{pairs}}}"#,
        attribute / hand
    )
}

/// Nanoseconds a pair.
async fn slice<F: Future<Output = Result<u64, Error>>>(pairs: u64, call: impl Fn(u64) -> F) -> f64 {
    let begun = now();
    for id in 0..pairs {
        call(id).await.unwrap();
    }
    (now() - begun) as f64 / pairs as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
