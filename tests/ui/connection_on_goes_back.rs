//! Connections that go back to their pool with the lock when the call is dropped are warned of.
#![deny(deprecated)]

use dlock::locked;
use sqlx::pool::PoolConnection;
use sqlx::{MySqlConnection, PgConnection, Postgres, Transaction};

#[locked(key = "k", on = conn)]
async fn bare(conn: &mut MySqlConnection) -> Result<(), dlock::Error> {
    Ok(())
}

#[locked(key = "k", on = tx)]
async fn transaction(tx: &mut Transaction<'_, Postgres>) -> Result<(), dlock::Error> {
    Ok(())
}

#[allow(deprecated)]
#[locked(key = "k", on = conn)]
async fn no_pools(conn: &mut MySqlConnection) -> Result<(), dlock::Error> {
    Ok(())
}

#[locked(key = "k", on = conn)]
async fn of_a_pool(conn: &mut PoolConnection<Postgres>) -> Result<(), dlock::Error> {
    Ok(())
}

#[locked(key = "k", on = conn)]
async fn queues(conn: &mut PgConnection) -> Result<(), dlock::Error> {
    Ok(())
}

#[locked(key = "k", on = conn)]
async fn any<C: dlock::Connection>(conn: &mut C) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
