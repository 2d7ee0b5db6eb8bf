//! The statements that make the table, for those who migrate by hand.

use super::table::Table;
use crate::error::{Error, Result};

/// The statements for this kind of database, each ending in a semicolon.
pub(super) fn of(backend: &str, table: &Table) -> Result<String> {
    let scheme = backend.split_once(':').map_or(backend, |(scheme, _)| scheme);
    let scheme = scheme.strip_prefix("lease+").unwrap_or(scheme);
    let ddl = match scheme.to_ascii_lowercase().as_str() {
        "sqlite" => sqlite(table),
        other => {
            return Err(Error::config(format!(
                "there is no lease table on {other:?}; it can be kept on sqlite"
            )));
        }
    };
    Ok(ddl)
}

/// Milliseconds since 1970.
pub(super) fn sqlite(table: &Table) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    \
         name TEXT NOT NULL PRIMARY KEY,\n    \
         owner TEXT NOT NULL,\n    \
         fence INTEGER NOT NULL,\n    \
         acquired_at INTEGER NOT NULL,\n    \
         expires_at INTEGER NOT NULL\n\
         ) WITHOUT ROWID;\n",
        table.quoted('"')
    )
}
