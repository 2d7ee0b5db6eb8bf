//! Session: which session of the server a connection is.

use super::row::{Row, called};

/// Where a connection is in memory. A hint only: who locks on it borrows it, so that it stays there,
/// but a lock can be forgotten. Which session it is, the server says.
pub(crate) type Place = usize;

/// A session of a server. Its number alone is given out again, so there is a birth mark with it: on
/// PostgreSQL when the server was started and where the session's client is, on MySQL and MariaDB a
/// word of ours that the session remembers until it ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    pub(crate) id: i64,
    pub(crate) born: Box<str>,
}

impl Session {
    /// From two columns of an answer.
    pub(crate) fn read(columns: &[Option<String>]) -> Option<Self> {
        match columns {
            // It becomes part of statements.
            [Some(id), Some(born), ..] if born.bytes().all(is_plain) => {
                Some(Session { id: id.parse().ok()?, born: born.as_str().into() })
            }
            _ => None,
        }
    }

    /// Of the row that has this name: the session, and what stands behind it.
    pub(crate) fn named(rows: &[Row], name: &str) -> Option<Self> {
        called(rows, name).and_then(Session::read)
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"./:-".contains(&byte)
}
