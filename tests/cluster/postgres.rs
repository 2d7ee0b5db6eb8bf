//! PostgreSQL with a synchronous standby: what was granted is on both, or was not granted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dlock::{LeaseOptions, Locker};
use dlock_tests::history;
use dlock_tests::{Backend, Server, Site, Taker, Temp, eventually_async, limited, tabulate, taker};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinSet;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(3);

/// The primary and its standby. Once that is the primary, it has none itself. Others than dlock
/// leave their commits for later.
fn pair() -> Option<(Server, Server)> {
    let settings = ["synchronous_standby_names=*", "synchronous_commit=off"];
    let primary = Server::start(Backend::Postgres, &settings)?;
    let standby = primary.beside("standby", &["synchronous_standby_names="])?;
    Some((primary, standby))
}

/// Both in one URL, in this order.
fn url(first: &Server, second: &Server) -> String {
    let (user, second) = second.url().split_once('@').unwrap();
    let (second, database) = second.split_once('/').unwrap();
    let first = first.url().split_once('@').unwrap().1.split_once('/').unwrap().0;
    format!("lease+{user}@{first},{second}/{database}")
}

fn run(test: impl AsyncFnOnce() + Send + 'static) {
    limited(Duration::from_secs(120), move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(test());
    });
}

async fn locker(site: &Site) -> Locker {
    let builder = Locker::builder(&site.url).namespace(&site.namespace);
    builder.lease_options(LeaseOptions::new().ttl(TTL)).connect().await.unwrap()
}

/// Tokens in the order of their grants, as those see it who hold the key.
#[derive(Clone, Default)]
struct Tokens(Arc<Mutex<Vec<(u64, Instant)>>>);

impl Tokens {
    /// Takes the key again and again, and never fails for good.
    async fn collect(self, locker: Locker, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            match locker.lock("token").timeout(SECOND).acquire().await {
                Ok(guard) => {
                    let token = guard.fence().unwrap();
                    {
                        let mut tokens = self.0.lock().unwrap();
                        if guard.is_lost() {
                            continue;
                        }
                        tokens.push((token, Instant::now()));
                    }
                    sleep(Duration::from_millis(2)).await;
                    let _ = guard.release().await;
                }
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    }

    fn check(&self) -> usize {
        let tokens = self.0.lock().unwrap();
        for pair in tokens.windows(2) {
            assert!(pair[0].0 < pair[1].0, "token {} after {}", pair[1].0, pair[0].0);
        }
        tokens.len()
    }

    fn since(&self, time: Instant) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, at)| *at > time).count()
    }
}

#[test]
fn primary_is_killed_and_its_standby_promoted() {
    run(async || {
        let Some((primary, standby)) = pair() else { return };
        let either = [url(&primary, &standby), url(&standby, &primary)];
        let site = Site::at(&either[0]).ttl(TTL);
        let folder = Temp::new();
        let file = |n: usize| folder.file(&n.to_string());
        let mut takers: Vec<Taker> = (0..4)
            .map(|n| taker!(site.through(&either[n % 2]), "history", 3, file(n).display()))
            .collect();
        for taker in &mut takers {
            taker.says("begun").await;
        }
        let (tokens, stop) = (Tokens::default(), Arc::new(AtomicBool::new(false)));
        let mut collectors = JoinSet::new();
        for n in 0..4 {
            let locker = locker(&site.through(&either[n % 2])).await;
            collectors.spawn(tokens.clone().collect(locker, Arc::clone(&stop)));
        }
        // Held throughout: its word is renewed on the new primary, or it is lost in time.
        let keeper = locker(&site).await;
        let kept = keeper.lock("kept").acquire().await.unwrap();
        sleep(4 * SECOND).await;

        // What the standby does not hear of is not granted.
        standby.kill();
        sleep(SECOND / 2).await;
        let killed = Instant::now();
        primary.kill();
        standby.start_after_crash();
        standby.promote();
        let promoted = Instant::now();
        let goes_on = async || tokens.since(promoted) > 50;
        eventually_async("clients go on", Duration::from_secs(30), goes_on).await;
        let first = tokens.0.lock().unwrap().iter().find(|(_, at)| *at > promoted).unwrap().1;
        let survived = kept.verify().await.is_ok();
        sleep(4 * SECOND).await;

        stop.store(true, Ordering::Relaxed);
        collectors.join_all().await;
        let grants = tokens.check();
        let mut holds = Vec::new();
        for (n, taker) in takers.iter_mut().enumerate() {
            taker.tell("stop");
            taker.says("done").await;
            let of_one = history::read(&file(n), &format!("taker {n}"), false);
            assert!(of_one.len() > 50, "taker {n} has held {} times", of_one.len());
            holds.extend(of_one);
        }
        history::verify(&holds, Duration::ZERO).unwrap();
        tabulate(&format!(
            "cluster  postgres  kill -9 of the primary, promotion: {} holds of 4 processes, no two \
             at once; {grants} tokens, none twice; first grant {:.1} s after the kill, {:.1} s after \
             the promotion; a lease of 3 s held throughout {}",
            holds.len(),
            (first - killed).as_secs_f64(),
            (first - promoted).as_secs_f64(),
            if survived { "is kept" } else { "is lost, and says so" },
        ));
    });
}

/// A statement that waits for the standby may or may not be done in the end.
#[test]
fn unknown_outcome_is_no_grant() {
    run(async || {
        let Some((primary, standby)) = pair() else { return };
        let site = Site::at(&url(&primary, &standby));
        let (ours, theirs) = (locker(&site).await, locker(&site).await);
        let held = ours.lock("held").acquire().await.unwrap();
        let before = ours.lock("again").acquire().await.unwrap();
        let token = before.fence().unwrap();
        before.release().await.unwrap();

        standby.kill();
        for (key, locker) in [("new", &ours), ("again", &ours), ("again", &theirs)] {
            let start = Instant::now();
            let outcome = locker.lock(key).try_acquire().await;
            assert!(!matches!(outcome, Ok(Some(_))), "{key}: granted on one server alone");
            assert!(start.elapsed() < 8 * SECOND, "{:?}", start.elapsed());
        }
        // Nor is a renewal that nobody has confirmed.
        held.lost().await;
        let outcome = theirs.lock("held").try_acquire().await;
        assert!(!matches!(outcome, Ok(Some(_))), "granted on one server alone");

        primary.freeze();
        let refused = ours.lock("new").timeout(2 * SECOND).acquire().await.unwrap_err();
        assert!(refused.is_retryable(), "{refused:?}");
        primary.thaw();
        standby.start_after_crash();
        for key in ["new", "again", "held"] {
            let taken = theirs.lock(key).timeout(20 * SECOND).acquire().await.unwrap();
            let other = ours.lock(key).try_acquire().await.unwrap();
            assert!(other.is_none(), "{key} is taken");
            if key == "again" {
                assert!(taken.fence().unwrap() > token);
            }
            taken.release().await.unwrap();
        }
        // That would be answered as a success.
        let log = primary.log();
        assert!(log.contains("canceling statement due to lock timeout"));
        for bad in ["due to user request", "canceling wait for synchronous", "canceling the wait"] {
            assert!(!log.contains(bad), "{log}");
        }
        ours.close().await;
        theirs.close().await;
    });
}

/// A primary that is shut down ends the sessions whose commits wait for a standby. It has sent their rows by then.
#[test]
fn commit_that_the_server_ends_is_no_grant() {
    run(async || {
        let settings = ["synchronous_standby_names=nobody", "synchronous_commit=off"];
        let Some(primary) = Server::start(Backend::Postgres, &settings) else { return };
        let mut others = PgConnection::connect(primary.url()).await.unwrap();
        let mut ask = async |sql: &str| {
            sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut others).await.unwrap().len()
        };
        ask(&dlock::lease::ddl("postgres").unwrap()).await;
        let site = Site::at(&format!("lease+{}", primary.url())).ttl(TTL);
        let (ours, theirs) = (locker(&site).await, locker(&site).await);
        let lock = ours.lock("k").timeout(4 * SECOND);
        let taken = tokio::spawn(async move { lock.acquire().await });
        let mut ended = 0;
        while !taken.is_finished() {
            ended += ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
            )
            .await;
            sleep(SECOND / 20).await;
        }
        let error = taken.await.unwrap().unwrap_err();
        assert!(error.is_timeout() || error.is_retryable(), "{error:?}");
        assert!(ended > 0 && primary.log().contains("and terminating connection"));

        ask("ALTER SYSTEM SET synchronous_standby_names = ''").await;
        ask("SELECT pg_reload_conf()").await;
        theirs.lock("k").timeout(60 * SECOND).acquire().await.unwrap().release().await.unwrap();
    });
}
