//! What is wrong with the set-up, as far as a session can see it.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Postgres;
use super::session::Session;
use crate::backend::share;
use crate::error::Result;
use crate::status::Finding;

/// Locks of the fast path are not in the shared table. Other roles' sessions are counted by
/// `numbackends`, which everybody may see.
const CHECK: &str = "SELECT pg_catalog.pg_is_in_recovery(), \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks l WHERE NOT l.fastpath), \
    (SELECT pg_catalog.sum(d.numbackends)::pg_catalog.int8 FROM pg_catalog.pg_stat_database d), \
    (SELECT s.ssl FROM pg_catalog.pg_stat_ssl s WHERE s.pid = pg_catalog.pg_backend_pid()), \
    pg_catalog.host(pg_catalog.inet_client_addr()), pg_catalog.host(pg_catalog.inet_server_addr()), \
    s.names, s.settings, s.defaults, pg_catalog.pg_backend_pid() \
    FROM (SELECT pg_catalog.array_agg(p.name) AS names, pg_catalog.array_agg(p.setting) AS settings, \
    pg_catalog.array_agg(p.reset_val) AS defaults FROM pg_catalog.pg_settings p \
    WHERE p.name = ANY ($1::pg_catalog.text[])) s";
/// What the server has room for.
const CAPACITY: [&str; 5] = [
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "superuser_reserved_connections",
    "reserved_connections",
];
/// What ends an idle holder, or a wait.
const ENDS: [&str; 5] = [
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
];

/// What was asked of the server.
struct Facts {
    standby: bool,
    /// Entries of the lock table.
    locks: i64,
    connections: i64,
    ssl: Option<bool>,
    /// None: a local socket.
    client: Option<String>,
    server: Option<String>,
    /// A name, what it is, and what it would be had we not set it.
    settings: Vec<(String, String, String)>,
}

impl Postgres {
    pub(super) async fn findings(&self, session: &mut Session) -> Result<Vec<Finding>> {
        // Of the newest version: what the server does not know, it leaves out.
        let set = self.settings(i32::MAX);
        let names: Vec<&str> = set.iter().map(|(name, _)| *name).chain(CAPACITY).collect();
        let mut found = Vec::new();
        for row in &self.answers(session, sqlx::query(CHECK).bind(names)).await? {
            let facts = Facts::read(row).map_err(|error| self.error(error))?;
            found.extend(facts.findings(&set, self.max_sessions));
        }
        // Nobody else need care.
        if self.warned.load(Ordering::Relaxed) {
            found.push(Finding::note(
                "fsync is off: after a crash of the server's machine fencing tokens may be given out \
                 once more",
                "turn it on, on the server",
            ));
        }
        Ok(found)
    }
}

impl Facts {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        let names: Vec<String> = row.try_get(6)?;
        let settings: Vec<String> = row.try_get(7)?;
        let defaults: Vec<String> = row.try_get(8)?;
        let settings = names.into_iter().zip(settings).zip(defaults);
        Ok(Facts {
            standby: row.try_get(0)?,
            locks: row.try_get(1)?,
            connections: row.try_get(2)?,
            ssl: row.try_get(3)?,
            client: row.try_get(4)?,
            server: row.try_get(5)?,
            settings: settings.map(|((name, is), would)| (name, is, would)).collect(),
        })
    }

    fn findings(&self, set: &[(&str, String)], max_sessions: u32) -> Vec<Finding> {
        let mut found = Vec::new();
        self.standby(&mut found);
        self.room(max_sessions, &mut found);
        self.session(set, &mut found);
        self.network(&mut found);
        found
    }

    fn number(&self, setting: &str) -> i64 {
        let found = self.settings.iter().find(|(name, ..)| name == setting);
        found.and_then(|(_, value, _)| value.parse().ok()).unwrap_or(0)
    }

    fn standby(&self, found: &mut Vec<Finding>) {
        if self.standby {
            found.push(Finding::problem(
                "the server is a hot standby: its locks do not exclude the primary's",
                "connect to the primary",
            ));
        }
    }

    /// A full lock table stops the whole server.
    fn room(&self, max_sessions: u32, found: &mut Vec<Finding>) {
        // https://www.postgresql.org/docs/current/runtime-config-locks.html
        let objects = self.number("max_connections") + self.number("max_prepared_transactions");
        let table = objects * self.number("max_locks_per_transaction");
        let locks = self.locks;
        let full = format!("the server's lock table has {locks} locks and is made for {table}");
        let remedy = "hold fewer locks at once, or raise max_locks_per_transaction";
        if locks * 5 > table * 4 {
            found.push(Finding::problem(full, remedy));
        } else if locks * 2 > table {
            found.push(Finding::note(full, remedy));
        }
        let reserved =
            self.number("superuser_reserved_connections") + self.number("reserved_connections");
        let most = self.number("max_connections") - reserved;
        let open = self.connections;
        let full = format!("{open} of the server's {most} connections are in use");
        let remedy = "raise max_connections, or make the application's pools smaller";
        if open * 20 > most * 19 {
            found.push(Finding::problem(full, remedy));
        } else if open * 5 > most * 4 {
            found.push(Finding::note(full, remedy));
        }
        found.extend(share(max_sessions, open, most));
    }

    /// Whether the session still is what we have made it, and what other sessions have to expect.
    fn session(&self, set: &[(&str, String)], found: &mut Vec<Finding>) {
        for (name, is, default) in &self.settings {
            let Some((_, ours)) = set.iter().find(|(ours, _)| ours == name) else { continue };
            if (ENDS.contains(&name.as_str()) || name == "search_path") && is != ours {
                found.push(Finding::problem(
                    format!("{name} of a session that was set to {ours} is {is}"),
                    "look for a pooler or an extension that changes it, and leave dlock's \
                     sessions out",
                ));
            }
            if ENDS.contains(&name.as_str()) && default != "0" {
                found.push(Finding::note(
                    format!("{name} is {default} ms here"),
                    "dlock's own sessions are not subject to it; locks on connections of the \
                     application's are",
                ));
            }
        }
    }

    fn network(&self, found: &mut Vec<Finding>) {
        let Some(client) = &self.client else { return };
        if self.number("tcp_user_timeout") == 0 {
            found.push(Finding::note(
                "the server's system has no tcp_user_timeout",
                "a holder that is cut off while the server answers it may keep its locks longer \
                 than session_ttl",
            ));
        }
        let here = client.parse().is_ok_and(|client: IpAddr| client.is_loopback())
            || self.server.as_ref() == Some(client);
        if self.ssl == Some(false) && !here {
            found.push(Finding::note(
                format!("the connection from {client} is not encrypted"),
                "turn on dlock's feature \"tls-rustls\", and put ?sslmode=verify-full into the url",
            ));
        }
    }
}
