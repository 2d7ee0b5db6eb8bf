//! Those who want locks of a cluster, whatever becomes of its servers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock_tests::history::{self, Hold};
use dlock_tests::{Site, Taker, Temp, clock, eventually_async, taker};
use tokio::task::JoinSet;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
/// How many keys they want.
pub(crate) const KEYS: u32 = 6;

/// Processes that all want the same keys.
pub(crate) struct Takers {
    all: Vec<Taker>,
    folder: Temp,
    /// How soon all must have gone on without a server.
    soon: Duration,
}

impl Takers {
    /// Four, each by the next of these URLs.
    pub(crate) async fn start(urls: &[String], ttl: Duration, soon: Duration) -> Self {
        let folder = Temp::new();
        let site = Site::at(&urls[0]).ttl(ttl);
        let mut all: Vec<_> = (0..4)
            .map(|n| {
                let file = folder.file(&n.to_string());
                let site = site.through(&urls[n % urls.len()]);
                taker!(site, "history", KEYS, file.display())
            })
            .collect();
        for taker in &mut all {
            taker.says("begun").await;
        }
        Takers { all, folder, soon }
    }

    fn holds(&self, working: bool) -> Vec<Hold> {
        let file = |n: usize| self.folder.file(&n.to_string());
        let read = |n: usize| history::read(&file(n), &n.to_string(), working);
        (0..self.all.len()).flat_map(read).collect()
    }

    /// Waits until every one of them has been granted something from now on.
    pub(crate) async fn go_on(&mut self, what: &str) {
        let from = clock::now();
        let took = eventually_async(what, self.soon, async || {
            sleep(SECOND / 5).await;
            let holds = self.holds(true);
            (0..self.all.len())
                .all(|n| holds.iter().any(|hold| hold.who == n.to_string() && hold.from > from))
        })
        .await;
        println!("{what}: all have been granted something within {took:?}");
    }

    /// Looks for two holders of a key at once, and for a fence that has not grown, in what is written down so far.
    pub(crate) fn check(&self) {
        check(&self.holds(true));
    }

    /// How long after `from` the longest time ended in which nobody was granted anything.
    pub(crate) fn pause(&self, from: u64) -> Duration {
        let mut grants: Vec<u64> = self.holds(true).iter().map(|hold| hold.from).collect();
        grants.retain(|at| *at > from);
        grants.push(from);
        grants.sort_unstable();
        let longest = grants.windows(2).max_by_key(|pair| pair[1] - pair[0]);
        Duration::from_nanos(longest.map_or(0, |pair| pair[1] - from))
    }

    /// Stops them, checks what they held, and returns it.
    pub(crate) async fn stop(mut self) -> Vec<Hold> {
        for taker in &mut self.all {
            taker.tell("stop");
        }
        for taker in &mut self.all {
            taker.says("done").await;
        }
        let holds = self.holds(false);
        check(&holds);
        holds
    }
}

fn check(holds: &[Hold]) {
    history::verify(holds, Duration::ZERO).unwrap_or_else(|error| panic!("{error}"));
    history::verify_fences(holds).unwrap_or_else(|error| panic!("{error}"));
}

/// Tasks that take one key, each by a URL of its own, and write down the fence of each grant.
pub(crate) struct Fences {
    takers: JoinSet<()>,
    stop: Arc<AtomicBool>,
    all: Arc<Mutex<Vec<u64>>>,
}

impl Fences {
    /// Starts them.
    pub(crate) async fn collect(urls: &[String], ttl: Duration) -> Self {
        let (mut takers, stop, all) =
            (JoinSet::new(), Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<u64>>>::default());
        let site = Site::at(&urls[0]).ttl(ttl);
        for url in urls {
            let locker = site.through(url).locker().await;
            let (stop, all) = (stop.clone(), all.clone());
            takers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    match locker.lock("fences").timeout(SECOND).acquire().await {
                        Ok(guard) => {
                            let mut all = all.lock().unwrap();
                            if !guard.is_lost() {
                                all.push(guard.fence().unwrap());
                            }
                            // Given back in the background.
                        }
                        Err(error) => assert!(error.is_retryable(), "{error:?}"),
                    }
                }
                locker.close().await;
            });
        }
        Fences { takers, stop, all }
    }

    /// Each is greater than the one before. Returns how many there are so far.
    pub(crate) fn check(&self) -> usize {
        let all = self.all.lock().unwrap();
        for pair in all.windows(2) {
            assert!(pair[0] < pair[1], "fence {} after {}", pair[1], pair[0]);
        }
        all.len()
    }

    /// Stops them, and returns how many fences there were.
    pub(crate) async fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.takers.join_next().await {
            ended.unwrap();
        }
        self.check()
    }
}
