//! A pooler that goes away and comes back while everybody goes through it.

use std::time::Duration;

use dlock_tests::{Backend, Server, Site, history, is_long, limited, tabulate};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::failover::{Cluster, Fault, through};
use crate::takers::{Fences, Takers};

/// How soon all must have gone on.
const SOON: Duration = Duration::from_secs(30);
/// Longer than the pooler is away.
const TTL: Duration = Duration::from_secs(12);
/// For how long it is frozen: session locks last 5 s without an answer.
const FROZEN: Duration = Duration::from_secs(6);

struct Poolers {
    /// Leases go through the first, in transaction mode, and session locks through the second, in session mode.
    poolers: [Server; 2],
    _server: Server,
}

impl Poolers {
    fn start() -> Option<Self> {
        let server = Server::start(Backend::Postgres, &[])?;
        let leases = server.beside("pgbouncer", &[])?;
        let sessions = server.beside("pgbouncer", &["pool_mode=session"])?;
        Some(Poolers { poolers: [leases, sessions], _server: server })
    }
}

impl Cluster for Poolers {
    const NAMES: [&'static str; 2] =
        ["postgres, through pgbouncer", "lease_postgres, through pgbouncer"];
    const PROGRAM: &'static str = "pgbouncer";

    fn servers(&self) -> &[Server] {
        &self.poolers
    }

    fn name(fault: Fault) -> &'static str {
        match fault {
            Fault::Killed => "the pooler is killed, and started again",
            Fault::Frozen => "the pooler is frozen for 6 s",
            Fault::Restarted => "the pooler restarts",
            Fault::CutOff | Fault::Switched => "nothing",
        }
    }

    fn session_urls(&self) -> Vec<String> {
        vec![self.poolers[1].url().to_owned()]
    }

    async fn primary(&self) -> usize {
        0
    }

    async fn switch(&self, _: usize) {}

    async fn heal(&self) {}

    /// To both.
    async fn happen(&self, fault: Fault, _: usize) -> bool {
        let each = |what: fn(&Server)| block_in_place(|| self.poolers.iter().for_each(what));
        match fault {
            Fault::Killed => {
                each(Server::kill);
                each(Server::start_after_crash);
            }
            Fault::Frozen => {
                each(Server::freeze);
                sleep(FROZEN).await;
                each(Server::thaw);
            }
            Fault::Restarted => each(Server::restart),
            Fault::CutOff | Fault::Switched => return false,
        }
        true
    }

    async fn end(&self, _: Fault, _: usize) {}
}

#[test]
fn pooler_comes_and_goes() {
    limited(Duration::from_secs(if is_long() { 1150 } else { 280 }), || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(come_and_go());
    });
}

async fn come_and_go() {
    let Some(poolers) = Poolers::start() else { return };
    let url = format!("lease+{}", poolers.poolers[0].url());
    let urls = [url.clone(), url.clone(), url.clone()];
    let mut takers = Takers::start(&urls, TTL, SOON).await;
    let fences = Fences::collect(&urls, TTL).await;
    let keeper = Site::at(&url).ttl(TTL).locker().await;
    let kept = keeper.lock("kept").acquire().await.unwrap();
    takers.go_on("a pooler").await;
    let rounds = if is_long() { 10 } else { 1 };
    let faults = [Fault::Restarted, Fault::Killed, Fault::Frozen];
    through(&poolers, (&faults, rounds), &mut takers, &kept).await;
    kept.release().await.unwrap();
    let holds = takers.stop().await;
    let lost = holds.iter().filter(|hold| hold.lost).count();
    history::verify(&holds, Duration::ZERO).unwrap();
    history::verify_fences(&holds).unwrap();
    let fences = fences.stop().await;
    tabulate(&format!(
        "pooler: {} grants through pgbouncer while it was restarted, killed and frozen: {lost} lost, \
         no two holders; {fences} fences, which only grew",
        holds.len()
    ));
}
