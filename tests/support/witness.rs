//! What is held, as somebody sees it who looks into the database and not at dlock.

use std::fmt;

use sqlx::mysql::MySqlConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::database::Database;
use crate::double::{SqlServerClient, connect, connect_oracle, is_oracle, is_sql_server};
use crate::site::Site;

/// A connection of the test's own to a server.
pub struct Witness(Connection);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

enum Connection {
    Postgres(PgConnection),
    MySql(MySqlConnection),
    MariaDb(MySqlConnection),
    Mssql(Box<SqlServerClient>),
    /// Its driver blocks, which a test does not mind.
    Oracle(Box<oracledb::Connection>),
}

/// The sessions of a site's lockers: by database on MySQL and MariaDB, by name on the others.
const PG_HOLDING: &str = "pg_locks l JOIN pg_stat_activity a USING (pid) \
    WHERE l.locktype = 'advisory' AND l.granted";
const PG_WAITING: &str = "pg_locks l JOIN pg_stat_activity a USING (pid) \
    WHERE l.locktype = 'advisory' AND NOT l.granted";
const MY_SESSIONS: &str = "information_schema.processlist WHERE id <> connection_id()";
const MY_WAITING: &str = "information_schema.processlist WHERE state = 'User lock'";
const MYSQL_HOLDING: &str = "performance_schema.metadata_locks l \
    JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id \
    JOIN information_schema.processlist p ON p.id = t.processlist_id \
    WHERE l.object_type = 'USER LEVEL LOCK' AND l.lock_status = 'GRANTED'";
const MARIADB_HOLDING: &str = "information_schema.metadata_lock_info l \
    JOIN information_schema.processlist p ON p.id = l.thread_id WHERE l.lock_type = 'User lock'";
/// Locks, and the sessions that have them or wait for them, on SQL Server.
const MS_LOCKS: &str = "sys.dm_tran_locks l JOIN sys.dm_exec_sessions s \
    ON s.session_id = l.request_session_id WHERE l.resource_type = 'APPLICATION'";

/// The same on Oracle.
const ORA_LOCKS: &str =
    "v$lock l JOIN v$session s ON s.sid = l.sid WHERE l.type = 'UL' AND s.program";

impl Witness {
    /// Connects.
    pub async fn at(url: &str) -> Self {
        if is_oracle(url) {
            return Witness(Connection::Oracle(Box::new(connect_oracle(url, "witness"))));
        }
        if is_sql_server(url) {
            return Witness(Connection::Mssql(Box::new(connect(url, "witness").await)));
        }
        if Database::name_in(url).is_none() {
            let options = url.parse::<PgConnectOptions>().unwrap().application_name("witness");
            return Witness(Connection::Postgres(
                PgConnection::connect_with(&options).await.unwrap(),
            ));
        }
        let mut connection = MySqlConnection::connect(url).await.unwrap();
        let version = sqlx::query("SELECT version()").fetch_one(&mut connection).await.unwrap();
        Witness(if version.get::<String, _>(0).contains("MariaDB") {
            Connection::MariaDb(connection)
        } else {
            Connection::MySql(connection)
        })
    }

    /// Runs statements.
    pub async fn run(&mut self, sql: &str) {
        let text = sql;
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match &mut self.0 {
            Connection::Postgres(connection) => {
                sql.execute(connection).await.unwrap();
            }
            Connection::MySql(connection) | Connection::MariaDb(connection) => {
                sql.execute(connection).await.unwrap();
            }
            Connection::Mssql(client) => {
                let done = client.simple_query(text).await.unwrap();
                done.into_results().await.unwrap();
            }
            Connection::Oracle(client) => {
                client.execute(text, &[]).unwrap();
                client.commit().unwrap();
            }
        }
    }

    /// The one number that a statement returns with this, as `$1`, `@P1`, `:who` or `?`: the site's
    /// database on MySQL and MariaDB, its name on the others.
    pub async fn number(&mut self, sql: &str, site: &Site) -> i64 {
        let numbers = self.numbers(sql, who(site)).await;
        assert_eq!(numbers.len(), 1, "{sql}");
        numbers[0]
    }

    async fn numbers(&mut self, sql: &str, with: &str) -> Vec<i64> {
        let text = sql;
        let sql = AssertSqlSafe(sql.to_owned());
        match &mut self.0 {
            Connection::Postgres(connection) => {
                let rows = sqlx::query(sql).bind(with).fetch_all(connection).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            Connection::MySql(connection) | Connection::MariaDb(connection) => {
                let rows = sqlx::query(sql).bind(with).fetch_all(connection).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            Connection::Mssql(client) => {
                let rows = client.query(text, &[&with]).await.unwrap();
                let rows = rows.into_first_result().await.unwrap();
                rows.iter().map(|row| row.get::<i64, _>(0).unwrap()).collect()
            }
            Connection::Oracle(client) => {
                let rows = client.query(text, &[&with]).unwrap();
                rows.map(|row| row.unwrap().get(0).unwrap()).collect()
            }
        }
    }

    /// How many advisory locks the site's lockers hold.
    pub async fn locks(&mut self, site: &Site) -> i64 {
        let sql = match self.0 {
            Connection::Postgres(_) => {
                format!("SELECT count(*) FROM {PG_HOLDING} AND a.application_name = $1")
            }
            Connection::MySql(_) => format!("SELECT count(*) FROM {MYSQL_HOLDING} AND p.db = ?"),
            Connection::MariaDb(_) => {
                format!("SELECT count(*) FROM {MARIADB_HOLDING} AND p.db = ?")
            }
            Connection::Mssql(_) => format!(
                "SELECT COUNT_BIG(*) FROM {MS_LOCKS} AND l.request_status = 'GRANT' \
                AND s.program_name = @P1"
            ),
            Connection::Oracle(_) => {
                format!("SELECT COUNT(*) FROM {ORA_LOCKS} = :who AND l.lmode > 0")
            }
        };
        self.number(&sql, site).await
    }

    /// How many advisory locks the site's lockers wait for.
    pub async fn waits(&mut self, site: &Site) -> i64 {
        let sql = match self.0 {
            Connection::Postgres(_) => {
                format!("SELECT count(*) FROM {PG_WAITING} AND a.application_name = $1")
            }
            Connection::Mssql(_) => format!(
                "SELECT COUNT_BIG(*) FROM {MS_LOCKS} AND l.request_status <> 'GRANT' \
                AND s.program_name = @P1"
            ),
            Connection::Oracle(_) => {
                format!("SELECT COUNT(*) FROM {ORA_LOCKS} = :who AND l.request > 0")
            }
            _ => format!("SELECT count(*) FROM {MY_WAITING} AND db = ?"),
        };
        self.number(&sql, site).await
    }

    /// How many sessions the site's lockers have.
    pub async fn sessions(&mut self, site: &Site) -> i64 {
        let sql = match self.0 {
            Connection::Postgres(_) => {
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1".to_owned()
            }
            Connection::Mssql(_) => {
                "SELECT COUNT_BIG(*) FROM sys.dm_exec_sessions WHERE program_name = @P1".to_owned()
            }
            Connection::Oracle(_) => {
                "SELECT COUNT(*) FROM v$session WHERE program = :who".to_owned()
            }
            _ => format!("SELECT count(*) FROM {MY_SESSIONS} AND db = ?"),
        };
        self.number(&sql, site).await
    }

    /// Which session holds the lock of that name, as a MySQL or MariaDB server knows it.
    pub async fn holder(&mut self, name: &str) -> Option<i64> {
        let sql = "SELECT CAST(coalesce(is_used_lock(?), 0) AS SIGNED)";
        self.numbers(sql, name).await.into_iter().find(|id| *id != 0)
    }

    /// Ends the sessions of the site's lockers; how many there were.
    pub async fn terminate(&mut self, site: &Site) -> i64 {
        if let Connection::Postgres(_) = self.0 {
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE application_name = $1";
            return self.number(sql, site).await;
        }
        if let Connection::Mssql(_) = self.0 {
            let sql = "SELECT CAST(session_id AS bigint) FROM sys.dm_exec_sessions \
                WHERE program_name = @P1";
            return self.kill(sql, site).await;
        }
        if let Connection::Oracle(_) = self.0 {
            return self.kill("SELECT sid FROM v$session WHERE program = :who", site).await;
        }
        self.kill(&format!("SELECT CAST(id AS SIGNED) FROM {MY_SESSIONS} AND db = ?"), site).await
    }

    /// Ends all sessions of clients but its own, on a server of the test's own.
    pub async fn terminate_all(&mut self, site: &Site) -> i64 {
        if let Connection::Postgres(_) = self.0 {
            let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND $1 <> ''";
            return self.number(sql, site).await;
        }
        let sql = format!(
            "SELECT CAST(id AS SIGNED) FROM {MY_SESSIONS} AND command <> 'Daemon' AND ? <> ''"
        );
        self.kill(&sql, site).await
    }

    /// Ends a session that holds something, of any locker whose name begins with the site's.
    pub async fn terminate_a_holder(&mut self, site: &Site) -> i64 {
        let holding = match self.0 {
            Connection::Postgres(_) => {
                let sql = format!(
                    "SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM {PG_HOLDING} \
                    AND starts_with(a.application_name, $1) ORDER BY random() LIMIT 1) t"
                );
                return self.number(&sql, site).await;
            }
            Connection::MySql(_) => MYSQL_HOLDING,
            Connection::MariaDb(_) => MARIADB_HOLDING,
            Connection::Mssql(_) => {
                let sql = format!(
                    "SELECT TOP (1) CAST(l.request_session_id AS bigint) FROM {MS_LOCKS} \
                    AND l.request_status = 'GRANT' AND LEFT(s.program_name, LEN(@P1)) = @P1 \
                    ORDER BY NEWID()"
                );
                return self.kill(&sql, site).await;
            }
            Connection::Oracle(_) => {
                let sql = format!("SELECT l.sid FROM {ORA_LOCKS} LIKE :who || '%' AND l.lmode > 0");
                let holders = self.numbers(&sql, who(site)).await;
                return holders
                    .get(fastrand::usize(..holders.len().max(1)))
                    .map_or(0, |sid| self.kill_oracle(*sid));
            }
        };
        let sql = format!(
            "SELECT CAST(p.id AS SIGNED) FROM {holding} AND locate(?, p.db) = 1 \
            ORDER BY rand() LIMIT 1"
        );
        self.kill(&sql, site).await
    }

    /// Ends the sessions that a statement names; how many there were.
    async fn kill(&mut self, sql: &str, site: &Site) -> i64 {
        if let Connection::Mssql(_) = self.0 {
            let sessions = self.numbers(sql, who(site)).await;
            let Connection::Mssql(client) = &mut self.0 else { return 0 };
            let mut ended = 0;
            for session in sessions {
                let killed = client.simple_query(format!("KILL {session}")).await;
                // It may have ended by itself.
                if let Ok(killed) = killed
                    && killed.into_results().await.is_ok()
                {
                    ended += 1;
                }
            }
            return ended;
        }
        if let Connection::Oracle(_) = self.0 {
            let sessions = self.numbers(sql, who(site)).await;
            return sessions.into_iter().map(|sid| self.kill_oracle(sid)).sum();
        }
        let (Connection::MySql(connection) | Connection::MariaDb(connection)) = &mut self.0 else {
            panic!("not a MySQL or MariaDB server");
        };
        let sessions = sqlx::query(AssertSqlSafe(sql.to_owned())).bind(who(site));
        let sessions = sessions.fetch_all(&mut *connection).await.unwrap();
        let mut ended = 0;
        for session in sessions {
            let sql = format!("KILL {}", session.get::<i64, _>(0));
            // It may have ended by itself.
            if sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.is_ok() {
                ended += 1;
            }
        }
        ended
    }
}

impl Witness {
    /// Ends that session of Oracle's: 1, or 0 if it has ended by itself.
    fn kill_oracle(&self, sid: i64) -> i64 {
        let Connection::Oracle(client) = &self.0 else { return 0 };
        let sql = "SELECT serial# FROM v$session WHERE sid = :sid";
        let Ok(row) = client.query_row(sql, &[&sid]) else { return 0 };
        let serial: i64 = row.get(0).unwrap();
        let sql = format!("ALTER SYSTEM KILL SESSION '{sid},{serial}' IMMEDIATE");
        i64::from(client.execute(&sql, &[]).is_ok())
    }
}

/// What the site's lockers show.
fn who(site: &Site) -> &str {
    Database::name_in(&site.url).unwrap_or(&site.name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Backend, Server, check, eventually_async};

    const SOON: Duration = Duration::from_secs(5);

    /// It sees a holder and a waiter, and ends them.
    async fn sees(site: Site) {
        let mut witness = Witness::at(&site.url).await;
        assert_eq!(witness.sessions(&site).await, 0);
        let other = site.named("other");
        let mut holder = MySqlConnection::connect(&site.url).await.unwrap();
        let mut waiter = MySqlConnection::connect(&other.url).await.unwrap();
        let name = site.namespace.clone();
        let take = |seconds: u32| AssertSqlSafe(format!("SELECT get_lock('{name}', {seconds})"));
        sqlx::raw_sql(take(0)).execute(&mut holder).await.unwrap();
        assert!(witness.holder(&name).await.is_some());
        assert_eq!((witness.sessions(&site).await, witness.sessions(&other).await), (1, 1));
        assert_eq!((witness.locks(&site).await, witness.waits(&site).await), (1, 0));

        let sql = take(20);
        let waiting = tokio::spawn(async move { sqlx::raw_sql(sql).execute(&mut waiter).await });
        eventually_async("the other waits", SOON, async || witness.waits(&other).await == 1).await;
        assert_eq!((witness.locks(&other).await, witness.locks(&site).await), (0, 1));
        assert_eq!(witness.terminate(&other).await, 1);
        assert!(waiting.await.unwrap().is_err());
        assert_eq!(witness.terminate_a_holder(&site).await, 1);
        eventually_async("the lock is free", SOON, async || witness.holder(&name).await.is_none())
            .await;
    }

    /// A server of the test's own can be restarted, killed, started, set up.
    async fn server(site: Site) {
        let Some(server) = Server::like(&site, &["wait_timeout=77"]) else { return };
        let sql = "SELECT CAST(@@global.wait_timeout AS SIGNED) WHERE ? IS NOT NULL";
        for disturb in [Server::restart, |server: &Server| {
            server.kill();
            server.start_after_crash();
        }] {
            disturb(&server);
            let mut witness = Witness::at(server.url()).await;
            assert_eq!(witness.number(sql, &site).await, 77);
        }
        assert!(server.log().contains("ready for connections"));
    }

    #[test]
    fn mysql() {
        check("witness", Backend::MySql, "witness::mysql", sees);
    }

    #[test]
    fn mariadb() {
        check("witness", Backend::MariaDb, "witness::mariadb", sees);
    }

    #[test]
    fn mariadb118() {
        check("witness", Backend::MariaDb118, "witness::mariadb118", sees);
    }

    #[test]
    fn mysql_server() {
        check("servers", Backend::MySql, "servers::mysql", server);
    }

    #[test]
    fn mariadb_server() {
        check("servers", Backend::MariaDb, "servers::mariadb", server);
    }

    #[test]
    fn mariadb118_server() {
        check("servers", Backend::MariaDb118, "servers::mariadb118", server);
    }
}
