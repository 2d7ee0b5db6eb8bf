//! The grant and the end of the waiter's time meet on the server.

use std::time::Duration;

use dlock::{Error, Key, Mode};
use dlock_tests::{Site, Witness};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const ROUNDS: u32 = 2000;
/// A holder and a waiter each, all at work at the same time: one for each kind of lock.
const LANES: u32 = 4;
const TIMEOUT: Duration = Duration::from_millis(12);
/// A server that says nothing for this long after the waiter's time is not waited for.
const SILENCE: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(5);

pub(crate) async fn timeout_is_never_answered_while_the_lock_is_held(site: Site) {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(run(site.named(&lane.to_string()), lane));
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

async fn run(site: Site, lane: u32) -> (u32, u32) {
    let (id, a, b) = (fastrand::i64(..), fastrand::i32(..0), fastrand::i32(..0));
    let (key, args) = match lane / 2 {
        0 => (Key::native(id), format!("{id}")),
        _ => (Key::pair(a, b), format!("{a}, {b}")),
    };
    let mode = if lane.is_multiple_of(2) { Mode::Exclusive } else { Mode::Shared };
    let mut holder = Witness::at(&site.url).await;
    let mut witness = Witness::at(&site.url).await;
    let locker = site.locker().await;
    let lock = locker.lock(key).mode(mode).timeout(TIMEOUT);
    let (mut granted, mut timed_out) = (0, 0);
    for _ in 0..ROUNDS / LANES {
        holder.run(&format!("SELECT pg_advisory_lock({args})")).await;
        let start = Instant::now();
        let release = async {
            let early = Duration::from_millis(2);
            sleep_until(start + TIMEOUT - early + Duration::from_micros(fastrand::u64(0..4000)))
                .await;
            holder.run(&format!("SELECT pg_advisory_unlock({args})")).await;
        };
        let (waited, ()) = tokio::join!(lock.acquire(), release);
        match waited {
            Ok(guard) => {
                assert_eq!(witness.locks(&site).await, 1);
                guard.release().await.unwrap();
                granted += 1;
            }
            Err(Error::Timeout { .. }) => timed_out += 1,
            // The machine has more to do than it can: the server does not say in time what became
            // of the wait, and nobody claims to know.
            Err(Error::Unavailable { .. }) if start.elapsed() > TIMEOUT + SILENCE => {
                while witness.locks(&site).await > 0 {
                    assert!(start.elapsed() < LATE, "what was granted late does not go back");
                    sleep(Duration::from_millis(10)).await;
                }
            }
            Err(error) => panic!("{error:?}"),
        }
        assert_eq!(witness.locks(&site).await, 0, "it holds what it says it did not get");
    }
    (granted, timed_out)
}
