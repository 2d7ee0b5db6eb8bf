//! Which servers are refused, and a pooler before them: found out before anything is set there,
//! which a pooler would leak to other clients.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::Postgres;
use super::session_sql::OPEN;
use crate::backend::errors::{NotExclusive, unsupported};
use crate::backend::rows;
use crate::error::{Error, Result};

/// `idle_session_timeout` came with 14: without it, a frozen holder would keep its locks.
const OLDEST: i32 = 140_000;
/// The first release of YugabyteDB with advisory locks. Earlier ones can be set to grant each to
/// everybody.
const YUGABYTE_MIN: u32 = 2025;

const ELSEWHERE: &str = "use the lease+postgres:// url, or keep the locks in another database";
pub(super) const STANDBY: NotExclusive = NotExclusive {
    what: "locks that exclude the primary's (it is a hot standby)",
    instead: "connect to the primary",
};
pub(super) const COCKROACH: NotExclusive = NotExclusive {
    what: "working advisory locks (CockroachDB grants each to everybody)",
    instead: ELSEWHERE,
};
const OLD_YUGABYTE: NotExclusive = NotExclusive {
    what: "working advisory locks (YugabyteDB has them since 2025.1)",
    instead: ELSEWHERE,
};
const TOO_OLD: NotExclusive =
    NotExclusive { what: "idle_session_timeout", instead: "PostgreSQL 14 or newer is needed" };

/// So often a pooler of two busy connections would have to draw the same one for each of ours.
const DRAWS: usize = 3;

/// What a server says of itself.
pub(super) struct Server {
    pub(super) pid: i32,
    /// As PostgreSQL counts: 150 004.
    pub(super) version: i32,
    /// Where what has no schema in its name is made.
    pub(super) schema: Option<String>,
    name: String,
    standby: bool,
}

impl Postgres {
    /// Two connections of one process are two server processes, and stay it, or there is a pooler
    /// between. Nothing is prepared here: a transaction pooler makes a mess of that.
    pub(super) async fn refuse_pooler(&self) -> Result<()> {
        let options = self.address.connect_options();
        let (one, other) = tokio::join!(self.connect(&options), self.connect(&options));
        let (mut one, mut other) = (one?, other?);
        let first = self.server(&mut one).await?;
        // It may be something else altogether, where process ids mean nothing.
        self.vet(&first)?;
        let second = self.server(&mut other).await?.pid;
        if second == first.pid {
            return Err(self.pooler("two connections share one server process"));
        }
        // Where there is much to do, others come between: then each statement draws a process.
        for _ in 0..DRAWS {
            let again = tokio::join!(self.server(&mut one), self.server(&mut other));
            if (again.0?.pid, again.1?.pid) != (first.pid, second) {
                return Err(self.pooler("the statements of a connection go to several processes"));
            }
        }
        // A goodbye that does not arrive does no harm.
        let _ = tokio::join!(one.close(), other.close());
        Ok(())
    }

    async fn connect(&self, options: &PgConnectOptions) -> Result<PgConnection> {
        options.connect().await.map_err(|error| self.error(error))
    }

    async fn server(&self, connection: &mut PgConnection) -> Result<Server> {
        let rows = rows::ask(connection, sqlx::raw_sql(OPEN)).one().await;
        self.read_server(&rows.map_err(|error| self.error(error))?)
    }

    /// Reads the answer to [`OPEN`].
    pub(super) fn read_server(&self, row: &sqlx::postgres::PgRow) -> Result<Server> {
        let column = |error| self.error(error);
        let version: String = row.try_get(2).map_err(column)?;
        Ok(Server {
            name: row.try_get(0).map_err(column)?,
            standby: row.try_get(1).map_err(column)?,
            // Some that only look like PostgreSQL have none; they are refused as too old.
            version: version.parse().unwrap_or(0),
            schema: row.try_get(3).map_err(column)?,
            pid: row.try_get(4).map_err(column)?,
        })
    }

    /// Whether locks of this server exclude anybody.
    pub(super) fn vet(&self, server: &Server) -> Result<()> {
        let old_yugabyte = yugabyte(&server.name).is_some_and(|release| release < YUGABYTE_MIN);
        let refused = if server.name.contains("Cockroach") {
            COCKROACH
        } else if old_yugabyte {
            OLD_YUGABYTE
        } else if server.standby {
            STANDBY
        } else if server.version < OLDEST {
            TOO_OLD
        } else {
            return Ok(());
        };
        Err(refused.error(&self.label))
    }

    pub(super) fn pooler(&self, sign: &str) -> Error {
        unsupported(
            &self.label,
            &format!("sessions that last (there is a connection pooler in front of it: {sign})"),
            "connect directly to the server, or through a pool in session mode, \
             or use the lease+postgres:// url",
        )
    }
}

/// The release's first number, which is a year since 2024: `PostgreSQL 11.2-YB-2.20.1.3-b0 on …`.
fn yugabyte(version: &str) -> Option<u32> {
    let (_, release) = version.split_once("-YB-")?;
    let (first, _) = release.split_once('.')?;
    Some(first.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Options;

    #[test]
    #[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    fn servers_whose_locks_exclude_nobody_are_refused() {
        let backend = Postgres::from_url("postgres://h/db", &Options::default()).unwrap();
        let vet = |name: &str, version, standby| {
            let server = Server { pid: 1, version, schema: None, name: name.into(), standby };
            backend.vet(&server).map_err(|error| error.to_string())
        };
        assert_eq!(vet("PostgreSQL 15.4 on x86_64", 150_004, false), Ok(()));
        assert_eq!(vet("PostgreSQL 15.2-YB-2025.1.0.0-b168 on x86_64", 150_002, false), Ok(()));
        for (name, version, standby, says) in [
            ("CockroachDB CCL v23.1.0 (x86_64)", 130_000, false, "lease+postgres://"),
            ("PostgreSQL 11.2-YB-2.20.1.3-b0 on x86_64", 110_002, false, "since 2025.1"),
            ("PostgreSQL 15.2-YB-2024.2.0.0-b1 on x86_64", 150_002, false, "since 2025.1"),
            ("PostgreSQL 15.4 on x86_64", 150_004, true, "connect to the primary"),
            ("PostgreSQL 13.9 on x86_64", 130_009, false, "14 or newer"),
        ] {
            let refused = vet(name, version, standby).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
