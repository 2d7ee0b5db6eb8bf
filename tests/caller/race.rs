//! The grant and the end of the waiter's time meet on the server.

use std::time::Duration;

use dlock::{Error, on};
use dlock_tests::Site;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::db::{Application, connect, run};

const ROUNDS: u32 = 600;
/// Pairs of a holder and a waiter at work at the same time.
const LANES: u32 = 4;
const TIMEOUT: Duration = Duration::from_millis(12);

pub(crate) async fn timeout_is_never_answered_while_the_lock_is_held<C: Application>(site: Site) {
    race::<C>(site, "SELECT 1", "SELECT 1").await;
}

pub(crate) async fn nor_inside_a_transaction<C: Application>(site: Site) {
    race::<C>(site, "BEGIN", "COMMIT").await;
}

async fn race<C: Application>(site: Site, begin: &'static str, end: &'static str) {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(meet::<C>(site.namespace(&format!("{}-{lane}", site.namespace)), begin, end));
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

async fn meet<C: Application>(site: Site, begin: &str, end: &str) -> (u32, u32) {
    let (mut holder, mut waiter, mut third) =
        (connect::<C>(&site).await, connect::<C>(&site).await, connect::<C>(&site).await);
    let key = &site.namespace;
    let (mut granted, mut timed_out) = (0, 0);
    for _ in 0..ROUNDS / LANES {
        run(&mut waiter, begin).await;
        let mut held = on(&mut holder).lock(key);
        held.acquire().await.unwrap();
        let start = Instant::now();
        let early = Duration::from_micros(2000);
        let at = start + TIMEOUT - early + Duration::from_micros(fastrand::u64(0..4000));
        let release = async {
            sleep_until(at).await;
            held.release().await.unwrap();
        };
        let mut lock = on(&mut waiter).lock(key).timeout(TIMEOUT);
        let (waited, ()) = tokio::join!(lock.acquire(), release);
        let mut other = on(&mut third).lock(key);
        let free = other.try_acquire().await.unwrap();
        match waited {
            Ok(()) => {
                assert!(!free, "two hold it");
                assert!(lock.release().await.unwrap());
                granted += 1;
            }
            Err(Error::Timeout { waited, .. }) => {
                assert!(free, "it holds what it says it did not get");
                assert!(waited >= TIMEOUT, "{waited:?}");
                assert!(other.release().await.unwrap());
                drop(lock);
                timed_out += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
        run(&mut waiter, end).await;
    }
    (granted, timed_out)
}
