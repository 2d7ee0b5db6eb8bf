//! A group of MySQL servers (Group Replication), and what can be done to it.

use std::time::Duration;

use dlock_tests::{Server, eventually_async};
use tokio::time::sleep;

use crate::nodes::{lease_url, rows, run};

/// How soon it must be whole again.
const SOON: Duration = Duration::from_secs(90);

/// Three members.
pub(crate) struct Group(pub(crate) [Server; 3]);

impl Group {
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        let first = Server::group(settings)?;
        let second = first.beside("member", settings)?;
        let third = first.beside("member", settings)?;
        Some(Group([first, second, third]))
    }

    /// All of it in one URL, beginning with this one.
    pub(crate) fn url(&self, first: usize) -> String {
        lease_url(&self.0, first)
    }

    /// Which one takes writes.
    pub(crate) async fn writes(&self) -> usize {
        let mut primary = None;
        eventually_async("the group has a primary", SOON, async || {
            for (index, server) in self.0.iter().enumerate() {
                let is = rows(server.url(), "SELECT 'read_only',CONCAT(@@super_read_only)").await;
                if is.first().is_some_and(|(_, value)| value == "0") {
                    primary = Some(index);
                }
            }
            primary.is_some()
        })
        .await;
        primary.unwrap()
    }

    /// Runs a statement on the primary.
    pub(crate) async fn run_on_primary(&self, sql: &str) {
        run(self.0[self.writes().await].url(), sql).await;
    }

    /// What each answers, beginning with the primary.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<(String, String)>> {
        let primary = self.writes().await;
        let mut all = Vec::new();
        for member in 0..3 {
            all.push(rows(self.0[(primary + member) % 3].url(), sql).await);
        }
        all
    }

    /// Waits until each sees all three, and that there is one primary.
    pub(crate) async fn is_whole(&self) {
        let seen = "SELECT MEMBER_STATE,MEMBER_ROLE \
                    FROM performance_schema.replication_group_members";
        // One that was away for a while knows of nothing at first.
        sleep(Duration::from_secs(1)).await;
        for server in &self.0 {
            eventually_async("the group is whole", SOON, async || {
                let seen = rows(server.url(), seen).await;
                let primaries = seen.iter().filter(|(_, role)| role == "PRIMARY").count();
                seen.len() == 3 && primaries == 1 && seen.iter().all(|(state, _)| state == "ONLINE")
            })
            .await;
        }
    }
}
