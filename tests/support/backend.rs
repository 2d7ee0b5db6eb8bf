//! The databases that the conformance suite runs on.

use std::fmt;

/// A database, or one version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// `memory:`.
    Memory,
    /// A file of its own for each test.
    Sqlite,
    /// The PostgreSQL that the machine has.
    Postgres,
    /// PostgreSQL 18.
    Postgres18,
    /// MySQL.
    MySql,
    /// The MariaDB that the machine has.
    MariaDb,
    /// MariaDB 11.8.
    MariaDb118,
    /// SQL Server, or the double of it.
    Mssql,
    /// Oracle, or the double of it.
    Oracle,
    /// Leases on the PostgreSQL that the machine has.
    LeasePostgres,
    /// Leases on MySQL.
    LeaseMySql,
    /// Leases on the MariaDB that the machine has.
    LeaseMariaDb,
    /// Leases on SQL Server, or on the double of it.
    LeaseMssql,
    /// Leases on Oracle, or on the double of it.
    LeaseOracle,
}

impl Backend {
    /// A version of PostgreSQL.
    pub fn is_postgres(self) -> bool {
        matches!(self, Backend::Postgres | Backend::Postgres18)
    }

    /// A version of MariaDB.
    pub fn is_mariadb(self) -> bool {
        matches!(self, Backend::MariaDb | Backend::MariaDb118)
    }

    /// MySQL or MariaDB.
    pub fn is_mysql(self) -> bool {
        self == Backend::MySql || self.is_mariadb()
    }

    /// That a session has ended shows only when something is asked of it.
    pub fn is_silent(self) -> bool {
        self.is_mysql() || self == Backend::Oracle
    }

    /// Its locks belong to sessions of a server.
    pub fn is_server(self) -> bool {
        self.is_postgres() || self.is_mysql() || matches!(self, Backend::Mssql | Backend::Oracle)
    }

    /// There are shared locks.
    pub fn is_sharing(self) -> bool {
        matches!(self, Backend::Memory | Backend::Mssql | Backend::Oracle) || self.is_postgres()
    }

    /// Its locks are leases.
    pub fn is_lease(self) -> bool {
        use Backend::{LeaseMariaDb, LeaseMssql, LeaseMySql, LeaseOracle, LeasePostgres, Sqlite};
        let others = matches!(self, LeaseMssql | LeaseOracle | Sqlite);
        others || matches!(self, LeasePostgres | LeaseMySql | LeaseMariaDb)
    }

    /// Whose server a test's own one is for it.
    pub fn of_its_server(self) -> Self {
        match self {
            Backend::LeasePostgres => Backend::Postgres,
            Backend::LeaseMySql => Backend::MySql,
            Backend::LeaseMariaDb => Backend::MariaDb,
            other => other,
        }
    }

    /// Its locks on the server of that URL.
    pub fn url_on(self, server: &str) -> String {
        if self.is_lease() { format!("lease+{server}") } else { server.to_owned() }
    }

    /// The server's URL; an error when `tests/run` has started none.
    pub(crate) fn server(self) -> Result<String, String> {
        let variable = match self {
            Backend::Postgres | Backend::LeasePostgres => "DLOCK_TEST_POSTGRES",
            Backend::Postgres18 => "DLOCK_TEST_POSTGRES_18",
            Backend::MySql | Backend::LeaseMySql => "DLOCK_TEST_MYSQL",
            Backend::MariaDb | Backend::LeaseMariaDb => "DLOCK_TEST_MARIADB",
            Backend::MariaDb118 => "DLOCK_TEST_MARIADB_118",
            Backend::Mssql | Backend::LeaseMssql => "DLOCK_TEST_MSSQL_URL",
            Backend::Oracle | Backend::LeaseOracle => "DLOCK_TEST_ORACLE_URL",
            Backend::Memory | Backend::Sqlite => return Err(format!("{self} has no server")),
        };
        match std::env::var(variable) {
            Ok(url) if !url.is_empty() => Ok(url),
            _ => Err(format!("{variable} is not set; tests/run starts a server")),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Memory => "memory",
            Backend::Sqlite => "sqlite",
            Backend::Postgres => "postgres",
            Backend::Postgres18 => "postgres18",
            Backend::MySql => "mysql",
            Backend::MariaDb => "mariadb",
            Backend::MariaDb118 => "mariadb118",
            Backend::Mssql => "mssql",
            Backend::Oracle => "oracle",
            Backend::LeasePostgres => "lease_postgres",
            Backend::LeaseMySql => "lease_mysql",
            Backend::LeaseMariaDb => "lease_mariadb",
            Backend::LeaseMssql => "lease_mssql",
            Backend::LeaseOracle => "lease_oracle",
        })
    }
}
