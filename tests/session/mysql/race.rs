//! The grant and the end of the waiter's time meet on the server.

use std::time::Duration;

use dlock::Error;
use dlock_tests::{Site, Witness};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const ROUNDS: u32 = 1000;
/// Pairs of a holder and a waiter at work at the same time.
const LANES: u32 = 4;
const TIMEOUT: Duration = Duration::from_millis(12);
/// A server that says nothing for this long after the waiter's time is not waited for.
const SILENCE: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(5);

pub(crate) async fn timeout_is_never_answered_while_the_lock_is_held(site: Site) {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(run(site.named(&lane.to_string())));
    }
    let (mut granted, mut timed_out) = (0, 0);
    for (g, t) in lanes.join_all().await {
        granted += g;
        timed_out += t;
    }
    println!("{granted} granted, {timed_out} timed out");
    // Else the two did not meet, and nothing was shown.
    assert!(granted > ROUNDS / 20 && timed_out > ROUNDS / 20, "{granted} granted, {timed_out} not");
}

async fn run(site: Site) -> (u32, u32) {
    let mut holder = Witness::at(&site.url).await;
    let mut witness = Witness::at(&site.url).await;
    let locker = site.locker().await;
    let lock = locker.lock(&site.name).timeout(TIMEOUT);
    let name = locker.explain(&site.name).native.to_string();
    let (mut granted, mut timed_out) = (0, 0);
    for _ in 0..ROUNDS / LANES {
        holder.run(&format!("DO GET_LOCK('{name}', 10)")).await;
        let start = Instant::now();
        let release = async {
            let early = Duration::from_millis(2);
            sleep_until(start + TIMEOUT - early + Duration::from_micros(fastrand::u64(0..4000)))
                .await;
            holder.run(&format!("DO RELEASE_LOCK('{name}')")).await;
        };
        let (waited, ()) = tokio::join!(lock.acquire(), release);
        match waited {
            Ok(guard) => {
                assert!(witness.holder(&name).await.is_some());
                guard.release().await.unwrap();
                granted += 1;
            }
            Err(Error::Timeout { .. }) => timed_out += 1,
            // The machine has more to do than it can: the server does not say in time what became
            // of the wait, and nobody claims to know.
            Err(Error::Unavailable { .. }) if start.elapsed() > TIMEOUT + SILENCE => {
                while witness.holder(&name).await.is_some() {
                    assert!(start.elapsed() < LATE, "what was granted late does not go back");
                    sleep(Duration::from_millis(10)).await;
                }
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(witness.holder(&name).await, None, "it holds what it says it did not get");
    }
    (granted, timed_out)
}
