//! How a driver says what a dialect has to say: one text, one round trip, rows of text.

use std::future::Future;
#[cfg(any(feature = "mssql", feature = "mysql", feature = "postgres"))]
use std::pin::pin;
#[cfg(any(feature = "mssql", feature = "mysql", feature = "postgres"))]
use std::task::{Context, Poll, Waker};

use super::dialect::Dialect;
use super::row::{DriverError, Row};
use super::session::Place;

/// A connection of some driver. A new driver is an implementation of this and no more.
pub trait Driver: Send {
    /// What the database understands.
    type Dialect: Dialect;

    /// Reads what is left of statements whose futures were dropped, so that their errors are nobody
    /// else's, and so that the next text is on its way when its future is first polled.
    fn ready(&mut self) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Sends this text, which may be several statements, as one message, and reads the rows of all
    /// of them. Nothing is prepared. Only when it is [`ready`](Driver::ready).
    fn ask(&mut self, text: String) -> impl Future<Output = Result<Vec<Row>, DriverError>> + Send;

    /// Has this text sent if it can be without waiting, and returns whether it is on its way, behind
    /// whatever was sent before. Nobody reads the answer.
    fn send(&mut self, text: String) -> bool;

    /// Makes sure, if it can be done, that the connection does not come into other hands: nobody
    /// knows what it holds or waits for. Returns whether its session will end.
    fn discard(&mut self) -> bool {
        false
    }

    /// Where the connection is in memory: the same for all that wrap it, transactions too.
    fn place(&self) -> Place;

    /// Whether a transaction is open for certain.
    fn is_inside(&self) -> bool;
}

/// Has a query sent, and nobody wait for its answer: drivers send when they are first polled, and
/// read what was not waited for before the answer to the next query.
#[cfg(any(feature = "mssql", feature = "mysql", feature = "postgres"))]
pub(crate) fn start<T>(query: impl Future<Output = T>) -> Poll<T> {
    pin!(query).poll(&mut Context::from_waker(Waker::noop()))
}

/// What a connection does that is another one behind a pointer, but for [`Driver::discard`].
macro_rules! as_inside {
    () => {
        async fn ready(&mut self) -> Result<(), DriverError> {
            (**self).ready().await
        }

        async fn ask(&mut self, text: String) -> Result<Vec<Row>, DriverError> {
            (**self).ask(text).await
        }

        fn send(&mut self, text: String) -> bool {
            (**self).send(text)
        }

        fn place(&self) -> Place {
            (**self).place()
        }

        fn is_inside(&self) -> bool {
            (**self).is_inside()
        }
    };
}
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use as_inside;

impl<C: Driver + ?Sized> Driver for &mut C {
    type Dialect = C::Dialect;

    as_inside!();

    fn discard(&mut self) -> bool {
        (**self).discard()
    }
}
