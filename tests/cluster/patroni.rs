//! Three PostgreSQL servers under Patroni, of which the synchronous standby takes over.

use std::time::Duration;

use dlock_tests::{Server, eventually_async, is_long, limited_in_runtime};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use tokio::task::block_in_place;

use crate::failover::{Cluster, Fault, Trial};
use crate::nodes::lease_url;

const SECOND: Duration = Duration::from_secs(1);
/// How soon others must have gone on without the primary: Patroni gives a leader that is away 20 s.
const SOON: Duration = Duration::from_secs(90);
/// Two thirds of it outlast that.
const TTL: Duration = Duration::from_secs(45);

struct Patroni {
    servers: [Server; 3],
    /// Where they agree. It ends after them.
    _etcd: Server,
}

impl Patroni {
    fn start() -> Option<Self> {
        let etcd = Server::etcd()?;
        let first = etcd.beside("patroni", &[])?;
        let second = etcd.beside("patroni", &[])?;
        let third = etcd.beside("patroni", &[])?;
        Some(Patroni { servers: [first, second, third], _etcd: etcd })
    }
}

/// A number that a server answers; `None` when it does not.
async fn number(url: &str, sql: &str) -> Option<i64> {
    let ask = async {
        let mut connection = PgConnection::connect(url).await.ok()?;
        sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut connection).await.ok()?.try_get(0).ok()
    };
    tokio::time::timeout(SECOND, ask).await.ok().flatten()
}

impl Cluster for Patroni {
    const NAMES: [&'static str; 2] = ["postgres, Patroni", "lease_postgres, Patroni"];
    const PROGRAM: &'static str = "Patroni";

    fn servers(&self) -> &[Server] {
        &self.servers
    }

    fn name(fault: Fault) -> &'static str {
        match fault {
            Fault::Killed => "the primary and its Patroni are killed",
            Fault::Frozen => "the primary and its Patroni are frozen",
            Fault::Switched => "Patroni switches over",
            Fault::CutOff => "the primary is cut off",
            Fault::Restarted => "the primary and its Patroni restart",
        }
    }

    async fn primary(&self) -> usize {
        let mut primary = None;
        eventually_async("there is a primary", SOON, async || {
            for (index, server) in self.servers.iter().enumerate() {
                let is = "SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE 1 END::bigint";
                if number(server.url(), is).await == Some(1) {
                    primary = Some(index);
                }
            }
            primary.is_some()
        })
        .await;
        primary.unwrap()
    }

    async fn switch(&self, primary: usize) {
        block_in_place(|| self.servers[primary].promote());
    }

    async fn heal(&self) {
        eventually_async("two standbys follow", SOON, async || {
            let primary = self.primary().await;
            self.has_standbys(primary).await && self.has_successor(primary)
        })
        .await;
    }
}

impl Patroni {
    /// Whether both others stream what this one writes. One that has diverged from it looks the same to the primary for a
    /// moment, while it still streams an earlier timeline; then Patroni stops it, and copies from the primary what differs.
    async fn has_standbys(&self, primary: usize) -> bool {
        let written =
            "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint";
        let streamed =
            "SELECT received_tli::bigint FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        let Some(timeline) = number(self.servers[primary].url(), written).await else {
            return false;
        };
        for other in [1, 2] {
            let standby = self.servers[(primary + other) % 3].url();
            if number(standby, streamed).await != Some(timeline) {
                return false;
            }
        }
        true
    }

    /// Whether Patroni knows which standby is to take over. Without one, none ever would.
    fn has_successor(&self, primary: usize) -> bool {
        let log = self.servers[primary].log();
        let last = |line| log.rfind(line);
        last("INFO: Synchronous standby status assigned")
            > last("INFO: Assigning synchronous standby status")
                .max(last("INFO: promoted self to leader"))
    }
}

/// A round takes up to a minute.
fn primaries_go(fault: Fault, happens: &'static str) {
    limited_in_runtime(Duration::from_secs(if is_long() { 2350 } else { 280 }), async move || {
        let Some(patroni) = Patroni::start() else { return };
        patroni.heal().await;
        Trial {
            urls: &[0, 1, 2].map(|first| lease_url(&patroni.servers, first)),
            ttl: TTL,
            soon: SOON,
            faults: &[fault],
            rounds: if is_long() { 20 } else { 1 },
            name: "patroni",
            on: "three servers",
            happens,
        }
        .run(&patroni, async |_| ())
        .await;
    });
}

#[test]
fn primaries_are_switched() {
    primaries_go(Fault::Switched, "primaries were switched");
}

#[test]
fn primaries_are_killed() {
    primaries_go(Fault::Killed, "primaries were killed");
}

#[test]
fn primaries_are_frozen() {
    primaries_go(Fault::Frozen, "primaries were frozen");
}
