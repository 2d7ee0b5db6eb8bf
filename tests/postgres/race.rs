//! The grant and the end of the waiter's time meet on the server.

use std::time::Duration;

use dlock::{Error, Key};
use dlock_tests::{Site, Witness};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

const ROUNDS: u32 = 2000;
/// Pairs of a holder and a waiter at work at the same time.
const LANES: u32 = 4;
const TIMEOUT: Duration = Duration::from_millis(12);
/// A server that says nothing for so long after the waiter's time is not waited for.
const SILENCE: Duration = Duration::from_millis(100);

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
    let id = fastrand::i64(..);
    let mut holder = Witness::at(&site.url).await;
    let mut witness = Witness::at(&site.url).await;
    let locker = site.locker().await;
    let lock = locker.lock(Key::native(id)).timeout(TIMEOUT);
    let (mut granted, mut timed_out) = (0, 0);
    for _ in 0..ROUNDS / LANES {
        holder.run(&format!("SELECT pg_advisory_lock({id})")).await;
        let start = Instant::now();
        let release = async {
            let early = Duration::from_millis(2);
            sleep_until(start + TIMEOUT - early + Duration::from_micros(fastrand::u64(0..4000)))
                .await;
            holder.run(&format!("SELECT pg_advisory_unlock({id})")).await;
        };
        let (waited, ()) = tokio::join!(lock.acquire(), release);
        let answer = format!("{waited:?} after {:?}", start.elapsed());
        let mut late = false;
        match waited {
            Ok(guard) => {
                assert_eq!(witness.locks(&site).await, 1);
                guard.release().await.unwrap();
                granted += 1;
            }
            Err(Error::Timeout { waited, .. }) => {
                timed_out += 1;
                late = waited >= TIMEOUT + SILENCE;
            }
            Err(Error::Unavailable { .. }) if start.elapsed() >= TIMEOUT + SILENCE => late = true,
            Err(error) => panic!("{error:?}"),
        }
        // When the server has not said in time what became of the wait, what it grants then goes
        // back.
        let mut held = witness.locks(&site).await;
        for _ in 0..500 {
            if !late || held == 0 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
            held = witness.locks(&site).await;
        }
        assert_eq!(held, 0, "held in spite of the answer: {answer}");
    }
    (granted, timed_out)
}
