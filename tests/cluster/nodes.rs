//! A Galera cluster of three nodes, and what can be done to it.

use std::time::Duration;

use dlock_tests::{Server, eventually_async};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);
/// How soon it must be whole again.
const SOON: Duration = Duration::from_secs(60);

/// Three nodes.
pub(crate) struct Cluster(pub(crate) [Server; 3]);

impl Cluster {
    pub(crate) fn start() -> Option<Self> {
        let first = Server::galera()?;
        let second = first.beside("node", &[])?;
        let third = second.beside("node", &[])?;
        Some(Cluster([first, second, third]))
    }

    /// All of it in one URL, beginning with this one.
    pub(crate) fn url(&self, first: usize) -> String {
        lease_url(&self.0, first)
    }

    /// Cuts a node off from the others, not from its clients.
    pub(crate) async fn isolate(&self, node: usize, on: bool) {
        let value = u8::from(on);
        let sql = format!("SET GLOBAL wsrep_provider_options='gmcast.isolate={value}'");
        run(self.0[node].url(), &sql).await;
    }

    /// Waits until all three are one cluster.
    pub(crate) async fn heal(&self) {
        for node in &self.0 {
            eventually_async("the cluster is whole", SOON, async || is_whole(node).await).await;
        }
    }

    /// Lets frozen nodes go on, until all three are one cluster.
    pub(crate) async fn thaw(&self, frozen: &[&Server]) {
        frozen.iter().for_each(|node| node.thaw());
        // At first, one that was frozen knows of nothing.
        sleep(2 * SECOND).await;
        self.heal().await;
    }
}

/// Whether this node sees all three.
async fn is_whole(node: &Server) -> bool {
    let sql = "SHOW STATUS WHERE Variable_name IN \
               ('wsrep_cluster_size','wsrep_local_state_comment','wsrep_ready')";
    let state = rows(node.url(), sql).await;
    ["3", "Synced", "ON"].iter().all(|is| state.iter().any(|(_, value)| value == is))
}

/// Three servers in one URL, beginning with this one.
pub(crate) fn lease_url(servers: &[Server; 3], first: usize) -> String {
    let hosts: Vec<_> = (0..3).map(|n| host(servers[(first + n) % 3].url())).collect();
    let url = servers[0].url().replacen(host(servers[0].url()), &hosts.join(","), 1);
    format!("lease+{url}")
}

/// The host and port of a URL.
pub(crate) fn host(url: &str) -> &str {
    url.split_once('@').unwrap().1.split_once('/').unwrap().0
}

pub(crate) async fn run(url: &str, sql: &str) {
    let mut connection = MySqlConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
}

/// Two columns, as text; nothing when the node cannot be asked.
pub(crate) async fn rows(url: &str, sql: &str) -> Vec<(String, String)> {
    let ask = async {
        let mut connection = MySqlConnection::connect(url).await?;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut connection).await
    };
    let rows = tokio::time::timeout(SECOND, ask).await.ok().and_then(Result::ok);
    let text = |row: &sqlx::mysql::MySqlRow, column| {
        String::from_utf8(row.get_unchecked::<Vec<u8>, usize>(column)).unwrap()
    };
    rows.iter().flatten().map(|row| (text(row, 0), text(row, 1))).collect()
}
