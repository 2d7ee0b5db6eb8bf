//! A pooler that goes away and comes back while everybody goes through it.

use std::time::Duration;

use dlock_tests::{Backend, Server, is_long, limited_in_runtime};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::failover::{Cluster, Fault, Trial};

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
    limited_in_runtime(Duration::from_secs(if is_long() { 2350 } else { 280 }), async || {
        let Some(poolers) = Poolers::start() else { return };
        let url = format!("lease+{}", poolers.poolers[0].url());
        Trial {
            urls: &[url.clone(), url.clone(), url],
            ttl: TTL,
            soon: SOON,
            faults: &[Fault::Restarted, Fault::Killed, Fault::Frozen],
            rounds: if is_long() { 20 } else { 1 },
            name: "pooler",
            on: "a server behind pgbouncer",
            happens: "that was restarted, killed and frozen",
        }
        .run(&poolers, async |_| ())
        .await;
    });
}
