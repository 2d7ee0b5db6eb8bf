//! Answers that mean nothing, and errors of what may have been done: by a connection that says what
//! it is told to.

use std::collections::VecDeque;
use std::future::{self, Future};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::super::driver::Driver;
use super::super::session::Place;
use super::*;
use crate::backend::postgres::caller_sql::PostgresDialect;
use crate::error::Error;

type Answer = Result<Vec<Row>, DriverError>;

/// What it answers, and what it was asked, also without waiting for the answer.
#[derive(Default)]
struct Said {
    answers: VecDeque<Answer>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Said {
    fn hear(&self, text: String) {
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(text);
        }
    }
}

impl Driver for Said {
    type Dialect = PostgresDialect;

    async fn ready(&mut self) -> Result<(), DriverError> {
        Ok(())
    }

    fn ask(&mut self, text: String) -> impl Future<Output = Answer> + Send {
        self.hear(text);
        future::ready(self.answers.pop_front().unwrap_or_else(|| Ok(Vec::new())))
    }

    fn send(&mut self, text: String) -> bool {
        self.hear(text);
        true
    }

    fn place(&self) -> Place {
        std::ptr::from_ref(self).addr()
    }

    fn is_inside(&self) -> bool {
        false
    }
}

fn row(columns: &[&str]) -> Row {
    columns.iter().map(|column| Some((*column).to_owned())).collect()
}

fn refused(code: &str) -> Answer {
    let source = Arc::new(std::io::Error::other("stopped"));
    Err(DriverError { code: Some(code.to_owned()), source })
}

/// Nothing of this waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it waits"),
    }
}

/// How often a text that was asked has this in it.
fn count(asked: &Mutex<Vec<String>>, part: &str) -> usize {
    asked.lock().map_or(0, |asked| asked.iter().filter(|text| text.contains(part)).count())
}

const IF_HELD: &str = "SELECT 'given',CASE WHEN EXISTS";

#[test]
fn answer_that_means_nothing_ends_no_doubt() {
    let mut conn = Said::default();
    let asked = Arc::clone(&conn.asked);
    conn.answers.extend([Ok(vec![row(&["?", "?"])]), Ok(Vec::new())]);
    let mut lock = crate::on(&mut conn).lock("k");
    let error = now(lock.acquire());
    assert!(matches!(error, Err(Error::Unavailable { .. })), "{error:?}");
    assert!(!lock.is_held());
    // The release asks again, is not understood either, and says so; then the drop sends it.
    let released = now(lock.release());
    assert!(matches!(released, Err(Error::Unavailable { .. })), "{released:?}");
    assert_eq!(count(&asked, IF_HELD), 2);
}

#[test]
fn unlock_that_was_stopped_is_not_made_twice() {
    let mut conn = Said::default();
    let asked = Arc::clone(&conn.asked);
    let session = ["4711", "unlock-that-was-stopped"];
    conn.answers.extend([
        Ok(vec![row(&["dlock", "yes", session[0], session[1], "f"])]),
        // Before or after it has let go, nobody knows.
        refused("57014"),
        Ok(vec![vec![Some("given".into()), None], row(&["settled", session[0], session[1]])]),
    ]);
    let mut lock = crate::on(&mut conn).lock("k");
    assert!(now(lock.acquire()).is_ok() && lock.is_held());
    assert!(matches!(now(lock.release()), Ok(true)));
    assert_eq!(count(&asked, "THEN '' ELSE pg_catalog.concat(pg_catalog.pg_advisory_unlock"), 1);
    assert_eq!(count(&asked, IF_HELD), 1, "if it is still there");
    // Nothing is unreleased.
    conn.answers.push_back(Ok(vec![row(&["dlock", "busy", session[0], session[1], "f"])]));
    assert!(matches!(now(crate::on(&mut conn).lock("k").try_acquire()), Ok(false)));
    assert_eq!(count(&asked, IF_HELD), 1);
}
