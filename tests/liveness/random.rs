//! Worlds that go through trouble at random, many at once.

use std::time::{Duration, Instant};

use dlock_tests::{Site, is_long, tabulate};
use tokio::task::JoinSet;

use crate::world::World;

/// So many lockers at once, each of which goes through so many rounds of trouble.
const WORLDS: u64 = 17;
const ROUNDS: u64 = 4;
/// So many rounds a backend, with each number of sessions together.
const _: () = assert!(3 * WORLDS * ROUNDS >= 200);
/// Later than this no round begins: a machine that is busy with other things does fewer.
const BEGUN: Duration = Duration::from_secs(25);

pub(crate) async fn with_one_session(site: Site) {
    run(&site, 1).await;
}

pub(crate) async fn with_two_sessions(site: Site) {
    run(&site, 2).await;
}

pub(crate) async fn with_eight_sessions(site: Site) {
    run(&site, 8).await;
}

/// `DLOCK_TEST_SEED` runs the worlds of an earlier run again; servers and schedulers are as they are.
fn seed() -> u64 {
    let given = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..1 << 32))
}

async fn run(site: &Site, sessions: u32) {
    let (seed, start) = (seed(), Instant::now());
    let rounds = if is_long() { ROUNDS * 20 } else { ROUNDS };
    eprintln!("DLOCK_TEST_SEED={seed}");
    let mut worlds = JoinSet::new();
    for number in 0..WORLDS {
        // One after the other: servers do not change the rights of several users at once.
        let mut world = World::new(site, sessions, seed, number).await;
        worlds.spawn(async move {
            let mut done = 0;
            while done < rounds && (is_long() || start.elapsed() < BEGUN) {
                world.round().await?;
                done += 1;
            }
            world.end().await.map(|()| done)
        });
    }
    let ended = worlds.join_all().await;
    let done: u64 = ended.iter().flatten().sum();
    let failed: Vec<String> = ended.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "DLOCK_TEST_SEED={seed}\n{}", failed.join("\n"));
    let planned = WORLDS * rounds;
    let busy = if done < planned { " (the machine was too busy for more)" } else { "" };
    tabulate(&format!(
        "liveness: {} with {sessions} sessions: {done} of {planned} rounds{busy} in {:?}, seed {seed}",
        site.backend.map(|backend| backend.to_string()).unwrap_or_default(),
        start.elapsed(),
    ));
}
