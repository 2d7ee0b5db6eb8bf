//! Mode: whom a lock keeps out.

use std::fmt::{self, Display};

/// Whom a lock keeps out.
///
/// [`Exclusive`](Mode::Exclusive) keeps everybody out, [`Shared`](Mode::Shared) keeps writers out. The other modes
/// are those of SQL Server and Oracle. The table shows which modes two holders can have at once (●). It is the same on
/// every database that has both modes:
///
/// | | `Null` | `SubShared` | `SubExclusive` | `Shared` | `SharedSubExclusive` | `Update` | `Exclusive` |
/// | --- | --- | --- | --- | --- | --- | --- | --- |
/// | `Null` | ● | ● | ● | ● | ● | ● | ● |
/// | `SubShared` | ● | ● | ● | ● | ● | ● | |
/// | `SubExclusive` | ● | ● | ● | | | | |
/// | `Shared` | ● | ● | | ● | | ● | |
/// | `SharedSubExclusive` | ● | ● | | | | | |
/// | `Update` | ● | ● | | ● | | | |
/// | `Exclusive` | ● | | | | | | |
///
/// | database | modes |
/// | --- | --- |
/// | PostgreSQL | `Exclusive`, `Shared` |
/// | MySQL, MariaDB | `Exclusive` |
/// | SQL Server | `Exclusive`, `Shared`, `Update` |
/// | Oracle | all but `Update` |
/// | lease tables, so SQLite | `Exclusive` |
/// | `memory:` | all |
///
/// Acquiring a lock in a mode that the database lacks returns
/// [`Error::Unsupported`](crate::Error::Unsupported) before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[non_exhaustive]
pub enum Mode {
    /// Keeps nobody out. It only shows that somebody uses the key.
    Null,
    /// The holder reads a part.
    SubShared,
    /// The holder writes a part.
    SubExclusive,
    /// The holder reads. Others may read too.
    Shared,
    /// The holder reads, and writes a part.
    SharedSubExclusive,
    /// The holder reads and is going to write. Others may read, but nobody else may be going to write.
    Update,
    /// The holder writes. Nobody else may read or write.
    #[default]
    Exclusive,
}

impl Mode {
    /// All modes.
    pub const ALL: [Mode; 7] = [
        Mode::Null,
        Mode::SubShared,
        Mode::SubExclusive,
        Mode::Shared,
        Mode::SharedSubExclusive,
        Mode::Update,
        Mode::Exclusive,
    ];

    /// Returns `true` if two holders can have these modes of one key at the same time.
    pub const fn is_compatible_with(self, other: Mode) -> bool {
        use Mode::{Exclusive, Null, Shared, SharedSubExclusive, SubExclusive, SubShared, Update};
        match (self, other) {
            (Null, _) | (_, Null) => true,
            (Exclusive, _) | (_, Exclusive) => false,
            (SubShared, _) | (_, SubShared) => true,
            (SubExclusive, SubExclusive) | (Shared, Shared | Update) | (Update, Shared) => true,
            (SubExclusive | SharedSubExclusive | Shared | Update, _) => false,
        }
    }
}

impl Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Null => "null",
            Mode::SubShared => "sub-shared",
            Mode::SubExclusive => "sub-exclusive",
            Mode::Shared => "shared",
            Mode::SharedSubExclusive => "shared sub-exclusive",
            Mode::Update => "update",
            Mode::Exclusive => "exclusive",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;

    /// Oracle's table of its lock modes, with SQL Server's update mode:
    /// <https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_LOCK.html>,
    /// <https://learn.microsoft.com/sql/relational-databases/sql-server-transaction-locking-and-row-versioning-guide#lock_compat>
    #[test]
    fn go_together_as_the_databases_say() {
        let rows = ["1111111", "1111110", "1110000", "1101010", "1100000", "1101000", "1000000"];
        for (row, a) in rows.iter().zip(Mode::ALL) {
            for (cell, b) in row.chars().zip(Mode::ALL) {
                assert_eq!(a.is_compatible_with(b), cell == '1', "{a} with {b}");
                assert_eq!(a.is_compatible_with(b), b.is_compatible_with(a), "{a} with {b}");
            }
        }
    }
}
