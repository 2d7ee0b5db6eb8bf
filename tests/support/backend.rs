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
}

impl Backend {
    /// Its locks belong to sessions of a server.
    pub fn is_postgres(self) -> bool {
        matches!(self, Backend::Postgres | Backend::Postgres18)
    }

    /// The server's URL; an error when `tests/run` has started none.
    pub(crate) fn server(self) -> Result<String, String> {
        let variable = match self {
            Backend::Postgres18 => "DLOCK_TEST_POSTGRES_18",
            _ => "DLOCK_TEST_POSTGRES",
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
        })
    }
}
