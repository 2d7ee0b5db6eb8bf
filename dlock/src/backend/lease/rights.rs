//! What a user must be allowed on the table, in each database's words.

use crate::error::{Error, Source};

/// The rights that locks need on the table.
pub(crate) struct Rights<'a> {
    /// The database, for messages.
    pub(crate) label: &'a str,
    /// As it stands in a statement.
    pub(crate) table: &'a str,
    /// What the database calls its users.
    pub(crate) user: &'a str,
}

/// The statement that grants them.
pub(crate) fn grant(table: &str, user: &str) -> String {
    format!("GRANT SELECT, INSERT, UPDATE ON {table} TO {user}")
}

impl Rights<'_> {
    /// The error of a user who lacks one. `make`: the right to make the table, and the statements that do; none
    /// where that is not for us to do.
    pub(crate) fn missing(&self, make: Option<(&str, String)>, source: Source) -> Error {
        let grant = grant(self.table, self.user);
        let Some((right, ddl)) = make else { return Error::permission(self.label, grant, source) };
        let remedy = format!(
            "{grant}; if the table is not there, GRANT {right} as well, or run the statements that make it"
        );
        Error::permission(self.label, remedy, source).with_ddl(ddl)
    }

    /// The error of a user who cannot draw fencing tokens.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(crate) fn missing_for_tokens(&self, source: Source) -> Error {
        let remedy = format!("fencing tokens are written; {}", grant(self.table, self.user));
        Error::permission(self.label, remedy, source)
    }

    /// The same where the table is not there, and `ddl` would make it; `why`: what the user may not do.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(crate) fn no_table_for_tokens(&self, why: &str, ddl: String, source: Source) -> Error {
        let remedy = format!(
            "fencing tokens need the table {}, {why}; run the statements that make it, and {}",
            self.table,
            grant("it", self.user)
        );
        Error::permission(self.label, remedy, source).with_ddl(ddl)
    }
}
