//! Locks beside diesel-async, in two ways that exclude each other.
//!
//! `cargo run --example diesel_async --features diesel-async -- --url postgres://user@host/database`
//! (or the URL in `DLOCK_URL`) has four tasks add to one counter, by diesel: select, add, update. Two
//! of them do it this way, two of them that way:
//!
//! * `beside`: `#[dlock::locked]`. The lock is held on a connection of dlock's, around everything
//!   that diesel does, its transactions too, for they have ended before the lock is let go. It is the
//!   simple one: with timeouts that name the holder, and losses that are noticed.
//! * `inside`: the lock ends with the transaction that writes, so that whoever writes has it, come
//!   what may; also through a pooler. `dlock::within` wants a connection it knows, and diesel's
//!   `AsyncPgConnection` takes its client of tokio-postgres for good and gives it out to nobody. (So a
//!   client on which `dlock::on` has locked cannot become diesel's under the lock either: the lock
//!   borrows it.) But what `within` does is a statement that diesel can send itself: the lock's own
//!   number is all that it needs, and `Locker::explain` has that.
//!
//! Then the same without the lock. The counter is in a schema of its own, which is dropped in the end.

use std::process::ExitCode;

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use dlock::{Locker, NativeKey};

use self::schema::counters;

const TASKS: i64 = 4;
const INCREMENTS: i64 = 100;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

mod schema {
    #![allow(missing_docs, reason = "it is diesel's")]

    diesel::table! {
        counters (id) {
            id -> Integer,
            count -> BigInt,
        }
    }
}

/// What must not run twice at once.
async fn add_one(conn: &mut AsyncPgConnection, id: i32) -> Result<()> {
    let row = counters::table.find(id);
    let count: i64 = row.select(counters::count).first(conn).await?;
    diesel::update(row).set(counters::count.eq(count + 1)).execute(conn).await?;
    Ok(())
}

#[dlock::locked(key = "counter:<id>", timeout = 60, locker = locker)]
async fn add_one_beside(locker: &Locker, conn: &mut AsyncPgConnection, id: i32) -> Result<()> {
    add_one(conn, id).await
}

async fn add_one_inside(locker: &Locker, conn: &mut AsyncPgConnection, id: i32) -> Result<()> {
    let lock = locker.explain(format!("counter:{id}")).native;
    conn.transaction(async |conn| {
        take(conn, &lock).await?;
        add_one(conn, id).await
    })
    .await
}

/// Takes a lock until the end of the transaction. A statement of its own and the transaction's first:
/// what is read after it was written by the holder before, where the transaction is
/// `READ COMMITTED`, the default.
async fn take(conn: &mut AsyncPgConnection, lock: &NativeKey) -> Result<()> {
    let NativeKey::Id(id) = lock else {
        return Err("this lock has no number: is the locker one of postgres://?".into());
    };
    // Waiting has an end: then it is an error, and the transaction is rolled back by diesel.
    conn.batch_execute("SET LOCAL lock_timeout = '60s'").await?;
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(id).execute(conn).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let url = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--url", url] => Some(url.to_owned()),
        [] => std::env::var("DLOCK_URL").ok(),
        _ => None,
    };
    let Some(url) = url else {
        eprintln!("usage: diesel_async --url postgres://user@host/database");
        return ExitCode::from(2);
    };
    match both_rounds(&url).await {
        Ok((counted, without)) => {
            let all = TASKS * INCREMENTS;
            let (lost, without) = (all - counted, all - without);
            println!(
                "diesel_async: {TASKS} tasks, {all} increments, {counted} counted, {lost} lost \
                 (without the lock: {without} lost)"
            );
            if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("diesel_async: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn both_rounds(url: &str) -> Result<(i64, i64)> {
    let schema = format!("dlock_diesel_{}", std::process::id());
    let locker = Locker::connect(url).await?;
    let mut conn = connect(url, &schema).await?;
    conn.batch_execute(&format!(
        "CREATE SCHEMA {schema};
         CREATE TABLE counters (id INT PRIMARY KEY, count BIGINT NOT NULL);
         INSERT INTO counters VALUES (1, 0), (2, 0)"
    ))
    .await?;
    let outcome = async {
        println!("{TASKS} tasks add {INCREMENTS} each to one number, under a lock:");
        let counted = round(url, &schema, Some(&locker), 1).await?;
        println!("the same without the lock:");
        let without = round(url, &schema, None, 2).await?;
        Ok((counted, without))
    };
    let outcome = outcome.await;
    conn.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    locker.close().await;
    outcome
}

async fn connect(url: &str, schema: &str) -> Result<AsyncPgConnection> {
    let mut conn = AsyncPgConnection::establish(url).await?;
    conn.batch_execute(&format!("SET search_path TO {schema}")).await?;
    Ok(conn)
}

/// Lets four tasks count, and says what they come to.
async fn round(url: &str, schema: &str, locker: Option<&Locker>, id: i32) -> Result<i64> {
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (mut conn, locker) = (connect(url, schema).await?, locker.cloned());
        tasks.push(tokio::spawn(async move {
            for _ in 0..INCREMENTS {
                match &locker {
                    None => add_one(&mut conn, id).await?,
                    Some(locker) if task % 2 == 0 => add_one_beside(locker, &mut conn, id).await?,
                    Some(locker) => add_one_inside(locker, &mut conn, id).await?,
                }
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let mut conn = connect(url, schema).await?;
    let count = counters::table.find(id).select(counters::count).first(&mut conn).await?;
    println!("  {count} of {}", TASKS * INCREMENTS);
    Ok(count)
}
