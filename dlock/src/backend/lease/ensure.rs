//! Making sure that the table is there, and what it must be like.

use std::future::Future;

use crate::backend::errors::ErrorKind;

/// A table, as a connection reaches it.
pub(crate) trait TableAccess {
    type Error;

    /// Looks at the table, and returns `true` if it is to be made; `makes`: how often it has been. The error says
    /// why it cannot be used.
    fn is_missing(&mut self, makes: u32) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Makes the table. The error comes with what it means.
    fn make(&mut self) -> impl Future<Output = Result<(), (ErrorKind, Self::Error)>> + Send;
}

/// Makes sure that the table is there: looks, makes it if it is missing, and looks again.
pub(crate) async fn ensure_table<T: TableAccess>(mut table: T) -> Result<(), T::Error> {
    let mut makes = 0;
    while table.is_missing(makes).await? {
        match table.make().await {
            // Somebody else has made it at the same time.
            Ok(()) | Err((ErrorKind::TableExists, _)) => makes += 1,
            Err((_, error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle"))]
pub(crate) use self::shape::{Columns, misfit, unfit};

/// What the table must be like, where that is read from the server.
#[cfg(any(feature = "mssql", feature = "mysql", feature = "oracle"))]
mod shape {
    use crate::error::Error;

    /// Columns by name, each with what its type may begin with.
    pub(crate) type Columns = &'static [(&'static str, &'static [&'static str])];

    /// What two processes could not both rely on, if anything: a column that is not as it must be. `found`: the
    /// columns that are there, and their types.
    pub(crate) fn misfit(columns: Columns, found: &[(String, String)]) -> Option<String> {
        columns.iter().find_map(|(name, kinds)| {
            match found.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)) {
                None => Some(format!("it has no column {name}")),
                Some((_, kind)) if kinds.iter().any(|begin| kind.starts_with(begin)) => None,
                Some((_, kind)) => Some(format!("its column {name} is of type {kind}")),
            }
        })
    }

    /// The error of a table that cannot be used, for `what`; `remedy`: how it must be.
    pub(crate) fn unfit(label: &str, table: &str, what: &str, remedy: &str) -> Error {
        Error::config(format!("the table {table} on {label} cannot hold leases: {what}; {remedy}"))
    }
}
