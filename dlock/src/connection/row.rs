//! Row: what comes back from a driver, or why nothing does.

use crate::error::Source;

/// A row's columns.
pub(crate) type Row = Vec<Option<String>>;

/// The row that answers a question by that name, without the name.
pub(crate) fn called<'a>(rows: &'a [Row], name: &str) -> Option<&'a [Option<String>]> {
    rows.iter().find_map(|row| match row.split_first() {
        Some((Some(first), rest)) if first == name => Some(rest),
        _ => None,
    })
}

/// Why there are no rows.
#[derive(Debug)]
pub struct DriverError {
    /// The server's, if the server has answered: an SQLSTATE, or the number of a MySQL error.
    pub code: Option<String>,
    pub source: Source,
}
