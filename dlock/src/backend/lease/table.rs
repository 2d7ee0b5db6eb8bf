//! The table that leases are kept in: what it is called, and whose it is.

use crate::error::{Error, Result};

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Of the schema that is current, when there is none.
    pub(crate) schema: Option<Box<str>>,
    pub(crate) name: Box<str>,
    /// It is that of django-database-locks, with other columns and without fencing tokens.
    pub(crate) django: bool,
}

impl Table {
    /// `name` or `schema.name`, or the default.
    pub(super) fn named(named: Option<&str>, django: bool) -> Result<Self> {
        let default = if django { "database_locks_lock" } else { "dlock_leases" };
        let named = named.unwrap_or(default);
        let (schema, name) = match named.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, named),
        };
        if !schema.into_iter().chain([name]).all(is_identifier) {
            return Err(Error::config(format!(
                "the table of leases is called {named:?}; it must be name or schema.name, each of at \
                 most 63 letters, digits and underscores, the first no digit"
            )));
        }
        Ok(Table { schema: schema.map(Into::into), name: name.into(), django })
    }

    /// The schema, if there is one, and the name, between these quotes.
    pub(crate) fn quoted(&self, quote: char) -> String {
        // One that is the database's own may have any name.
        let quoted = |name: &str| {
            let name = name.replace(quote, &[quote, quote].iter().collect::<String>());
            format!("{quote}{name}{quote}")
        };
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(schema), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }
}

/// What every database takes between quotes, none of which it can hold.
fn is_identifier(word: &str) -> bool {
    let mut letters = word.chars();
    let first = letters.next();
    word.len() <= 63
        && first.is_some_and(|c| c.is_alphabetic() || c == '_')
        && letters.all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    fn names_are_taken_apart_and_quoted() {
        let table = |named| Table::named(named, false).unwrap().quoted('"');
        assert_eq!(table(None), "\"dlock_leases\"");
        assert_eq!(table(Some("ops.leases_2")), "\"ops\".\"leases_2\"");
        let odd = Table { schema: Some("we\"ird".into()), name: "t".into(), django: false };
        assert_eq!(odd.quoted('"'), "\"we\"\"ird\".\"t\"");
        for bad in ["", "a b", "a.b.c", ".a", "a.", "2a", "a\"b", "a;b", &"a".repeat(64)] {
            assert!(Table::named(Some(bad), false).is_err(), "{bad}");
        }
    }
}
