//! Many tasks on a small pool whose locks and waits are cancelled at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dlock::on;
use dlock_tests::{Site, Witness, eventually_async, is_long};
use fastrand::Rng;
use sqlx::Pool;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use sqlx::pool::PoolConnection;

use crate::db::{Application, pool};

const TASKS: u64 = 12;
const SLOTS: u32 = 3;
const KEYS: usize = 3;
/// A wait that was given up may be on for as long as its time.
const SOON: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Seen {
    holders: [AtomicI32; KEYS],
    granted: AtomicU32,
    given_up: AtomicU32,
    cancelled: AtomicU32,
}

impl Seen {
    fn enter(&self, key: usize) {
        assert_eq!(self.holders[key].fetch_add(1, Ordering::SeqCst), 0, "two hold it");
        self.granted.fetch_add(1, Ordering::SeqCst);
    }

    /// Before the lock is let go of.
    fn exit(&self, key: usize) {
        self.holders[key].fetch_sub(1, Ordering::SeqCst);
    }
}

/// Leaves also when the body is dropped.
struct Inside<'a>(&'a Seen, usize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.exit(self.1);
    }
}

/// No slot of the pool is lost, nothing is held at the end, and never do two hold one lock.
pub(crate) async fn leaves_nothing_behind<C: Application>(site: Site) {
    let seed = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("DLOCK_TEST_SEED={seed}");
    let end = Instant::now() + Duration::from_secs(if is_long() { 60 } else { 5 });
    let (pool, seen) = (pool::<C>(&site, SLOTS).await, Arc::new(Seen::default()));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let random = Rng::with_seed(seed.wrapping_add(task));
        tasks.spawn(work::<C>(site.clone(), pool.clone(), Arc::clone(&seen), random, end));
    }
    tasks.join_all().await;
    let count = |count: &AtomicU32| count.load(Ordering::SeqCst);
    let (granted, given_up) = (count(&seen.granted), count(&seen.given_up));
    println!("{granted} granted, {given_up} given up, {} cancelled", count(&seen.cancelled));
    // Over TLS, sqlx takes long to close what has a query under way.
    assert!(granted > 30 && given_up + count(&seen.cancelled) > 20);

    let all = async {
        let mut all = Vec::new();
        for _ in 0..SLOTS {
            all.push(pool.acquire().await.unwrap());
        }
        all
    };
    let all = timeout(SOON, all).await.expect("the pool has lost a slot");
    let mut witness = Witness::at(&site.url).await;
    let free = async || witness.locks(&site).await + witness.waits(&site).await == 0;
    eventually_async("nothing is held", SOON, free).await;
    drop(all);
}

async fn work<C: Application>(
    site: Site,
    pool: Pool<C::Database>,
    seen: Arc<Seen>,
    mut random: Rng,
    end: Instant,
) {
    while Instant::now() < end {
        let mut conn = pool.acquire().await.unwrap();
        let key = random.usize(0..KEYS);
        let name = format!("{}-{key}", site.namespace);
        let time = Duration::from_millis(random.u64(1..60));
        let moment = Duration::from_micros(random.u64(0..20_000));
        let mut lock = on(&mut conn).lock(name).timeout(time);
        if random.u8(0..4) == 0 {
            let body = async |_: &mut PoolConnection<C::Database>| {
                let _inside = {
                    seen.enter(key);
                    Inside(&seen, key)
                };
                sleep(Duration::from_micros(moment.as_micros() as u64 / 2)).await;
                Ok::<_, dlock::Error>(())
            };
            match timeout(moment, lock.run(body)).await {
                Err(_) => drop(seen.cancelled.fetch_add(1, Ordering::SeqCst)),
                Ok(Err(error)) => assert!(error.is_timeout(), "{error:?}"),
                Ok(Ok(())) => {}
            }
            continue;
        }
        match timeout(moment, lock.acquire()).await {
            // Sometimes the same object goes on.
            Err(_) if random.bool() => {
                seen.cancelled.fetch_add(1, Ordering::SeqCst);
                assert!(!lock.release().await.unwrap());
                continue;
            }
            Err(_) => {
                seen.cancelled.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            Ok(Err(error)) => {
                assert!(error.is_timeout(), "{error:?}");
                continue;
            }
            Ok(Ok(())) => seen.enter(key),
        }
        sleep(Duration::from_micros(random.u64(0..2000))).await;
        seen.exit(key);
        match random.u8(0..4) {
            0 => drop(seen.given_up.fetch_add(1, Ordering::SeqCst)),
            1 => drop(timeout(Duration::from_micros(random.u64(0..300)), lock.release()).await),
            _ => assert!(lock.release().await.unwrap()),
        }
    }
}
