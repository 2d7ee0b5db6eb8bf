//! How a driver says what a dialect has to say: one text, one round trip, rows of text.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use super::dialect::Dialect;
use crate::error::Source;

/// A row's columns.
pub(super) type Row = Vec<Option<String>>;

/// A connection of some driver. A new driver is an implementation of this and no more.
pub trait Driver: Send {
    /// What the database understands.
    const DIALECT: Dialect;

    /// Sends this text, which may be several statements, as one message, and reads the rows of all
    /// of them. Nothing is prepared.
    fn ask(&mut self, text: String) -> impl Future<Output = Result<Vec<Row>, Refused>> + Send;

    /// Has this text sent if it can be without waiting; nobody reads the answer.
    fn send(&mut self, text: String);

    /// Nobody knows what this connection holds or waits for, or nobody will let go of it: it must
    /// not come into other hands like this. The text, if there is any, lets go.
    fn abandon(&mut self, text: String) {
        if !text.is_empty() {
            self.send(text);
        }
    }

    /// Where the connection is in memory: the same for all who wrap it.
    fn place(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>().addr()
    }
}

/// Has a query sent, and nobody wait for its answer: drivers send when they are first polled, and
/// read what was not waited for before the answer to the next query.
pub(super) fn start(query: impl Future) {
    let _ = pin!(query).poll(&mut Context::from_waker(Waker::noop()));
}

/// Why there are no rows.
pub struct Refused {
    /// The server's, if the server has answered: an SQLSTATE, or the number of a MySQL error.
    pub code: Option<String>,
    pub source: Source,
}

impl<C: Driver + ?Sized> Driver for &mut C {
    const DIALECT: Dialect = C::DIALECT;

    fn ask(&mut self, text: String) -> impl Future<Output = Result<Vec<Row>, Refused>> + Send {
        (**self).ask(text)
    }

    fn send(&mut self, text: String) {
        (**self).send(text);
    }

    fn abandon(&mut self, text: String) {
        (**self).abandon(text);
    }

    fn place(&self) -> usize {
        (**self).place()
    }
}
