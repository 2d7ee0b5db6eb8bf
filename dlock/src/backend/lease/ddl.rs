//! The statements that make the table, for those who migrate by hand.

use super::table::Table;
use crate::error::{Error, Result};

/// The statements for this kind of database, each ending in a semicolon.
pub(crate) fn of(backend: &str, table: &Table) -> Result<String> {
    let scheme = backend.split_once(':').map_or(backend, |(scheme, _)| scheme);
    let scheme = scheme.strip_prefix("lease+").unwrap_or(scheme);
    let ddl = match scheme.to_ascii_lowercase().as_str() {
        "postgres" | "postgresql" => postgres(table),
        "mysql" | "mariadb" => mysql(table),
        "mssql" | "sqlserver" => mssql(table),
        "oracle" => oracle(&upper(table)),
        "sqlite" => sqlite(table),
        other => {
            return Err(Error::config(format!(
                "there is no lease table on {other:?}; it can be kept on postgres, mysql, \
                 mariadb, mssql, oracle and sqlite"
            )));
        }
    };
    Ok(ddl)
}

/// Milliseconds since 1970.
pub(crate) fn sqlite(table: &Table) -> String {
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

/// Names are compared by their bytes, and a row that is written over and over stays on its page: no
/// index has `expires_at` in it.
pub(crate) fn postgres(table: &Table) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    \
         name text COLLATE \"C\" NOT NULL PRIMARY KEY,\n    \
         owner text NOT NULL,\n    \
         fence bigint NOT NULL,\n    \
         acquired_at timestamptz NOT NULL,\n    \
         expires_at timestamptz NOT NULL\n\
         ) WITH (fillfactor = 50);\n",
        table.quoted('"')
    )
}

/// Names are compared by their bytes; the times are UTC.
pub(crate) fn mysql(table: &Table) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n    \
         name VARBINARY(255) NOT NULL PRIMARY KEY,\n    \
         owner VARBINARY(255) NOT NULL,\n    \
         fence BIGINT UNSIGNED NOT NULL,\n    \
         acquired_at DATETIME(6) NOT NULL,\n    \
         expires_at DATETIME(6) NOT NULL\n\
         ) ENGINE = InnoDB;\n",
        table.quoted('`')
    )
}

/// Names are bytes, for in text SQL Server takes no notice of spaces at the end; the times are UTC.
pub(crate) fn mssql(table: &Table) -> String {
    let part = |name: &str| format!("[{}]", name.replace(']', "]]"));
    let schema = table.schema.as_deref().map(|schema| format!("{}.", part(schema)));
    let name = format!("{}{}", schema.unwrap_or_default(), part(&table.name));
    format!(
        "IF OBJECT_ID(N'{}') IS NULL CREATE TABLE {name} (\n    \
         name VARBINARY(255) NOT NULL PRIMARY KEY,\n    \
         owner VARBINARY(255) NOT NULL,\n    \
         fence BIGINT NOT NULL,\n    \
         acquired_at DATETIME2 NOT NULL,\n    \
         expires_at DATETIME2 NOT NULL\n\
         );\n",
        name.replace('\'', "''")
    )
}

/// Names are bytes, for the database's character set may lack characters; the times are UTC. A free
/// row has no owner.
pub(crate) fn oracle(table: &Table) -> String {
    format!(
        "CREATE TABLE {} (\n    \
         name RAW(255) NOT NULL PRIMARY KEY,\n    \
         owner RAW(255),\n    \
         fence NUMBER(19) NOT NULL,\n    \
         acquired_at TIMESTAMP(6) NOT NULL,\n    \
         expires_at TIMESTAMP(6) NOT NULL\n\
         );\n",
        table.quoted('"')
    )
}

/// The table as Oracle understands its name when it is written without quotes.
pub(crate) fn upper(table: &Table) -> Table {
    let upper = |name: &str| name.to_uppercase().into();
    Table {
        schema: table.schema.as_deref().map(upper),
        name: upper(&table.name),
        django: table.django,
    }
}
