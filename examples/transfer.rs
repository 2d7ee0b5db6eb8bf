//! Money moves between accounts inside the caller's own transaction, under locks that end with it.
//!
//! `cargo run --example transfer -- --url postgres://user@host/database` (or the URL in `DLOCK_URL`)
//! starts four processes of itself that move money to and fro between a few accounts. Each transfer
//! reads two balances, does its sums in the program and writes them back: without a lock, two that
//! run at once would undo each other, and the money would not add up. `#[locked(tx = tx)]` locks both
//! accounts in the very transaction that writes them: one round trip, in one order for all, so that
//! there are no deadlocks, and nothing to release: the next one gets in when the commit is seen by
//! all. Afterwards the same is done without the locks, to show what they prevent.
//!
//! The accounts are in a schema of their own, which is dropped in the end.

use std::error::Error;
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, Postgres};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Transaction};

const PROCESSES: u64 = 4;
const TRANSFERS: u64 = 250;
const ACCOUNTS: u64 = 4;
const DEPOSIT: i64 = 100;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[dlock::locked(tx = tx, keys = ["account:<from>", "account:<to>"], timeout = 60)]
async fn transfer(tx: &mut Transaction<'_, Postgres>, from: i64, to: i64, sum: i64) -> Result<()> {
    let mut changes = [(from, -sum), (to, sum)];
    // For the round without locks: there the rows would deadlock.
    changes.sort_unstable();
    for (account, change) in changes {
        let balance: i64 = sqlx::query_scalar("SELECT balance FROM accounts WHERE id = $1")
            .bind(account)
            .fetch_one(&mut **tx)
            .await?;
        sqlx::query("UPDATE accounts SET balance = $1 WHERE id = $2")
            .bind(balance + change)
            .bind(account)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let url = std::env::var("DLOCK_URL").ok();
    let done = match (&args.iter().map(String::as_str).collect::<Vec<_>>()[..], &url) {
        (["--url", url], _) => parent(url).await,
        ([], Some(url)) => parent(url).await,
        (["--worker", seed, locked, schema], Some(url)) => worker(url, seed, locked, schema).await,
        _ => {
            eprintln!("usage: transfer --url postgres://user@host/database");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprint!("transfer: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            eprint!(": {error}");
            cause = error.source();
        }
        eprintln!();
        ExitCode::FAILURE
    })
}

/// One of the four processes.
async fn worker(url: &str, seed: &str, locked: &str, schema: &str) -> Result<ExitCode> {
    dlock::set_enabled(locked.parse()?);
    let mut bank = open(url, schema).await?;
    let seed: u64 = seed.parse()?;
    for turn in seed..seed + TRANSFERS {
        let from = turn % ACCOUNTS;
        let to = (from + 1 + turn % (ACCOUNTS - 1)) % ACCOUNTS;
        let mut tx = bank.begin().await?;
        transfer(&mut tx, from.cast_signed(), to.cast_signed(), 1 + (turn % 9).cast_signed())
            .await?;
        tx.commit().await?;
    }
    bank.close().await?;
    Ok(ExitCode::SUCCESS)
}

async fn open(url: &str, schema: &str) -> Result<PgConnection> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.options([("search_path", schema)]).connect().await?)
}

async fn parent(url: &str) -> Result<ExitCode> {
    let schema = format!("dlock_transfer_{}", std::process::id());
    let mut bank = open(url, &schema).await?;
    let make = format!("CREATE SCHEMA {schema}");
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut bank).await?;
    let outcome = both_rounds(&mut bank, url, &schema).await;
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut bank).await?;
    let (with, without) = outcome?;
    println!(
        "transfer: {PROCESSES} processes, {} transfers, the sum is {with} off (without the locks: \
         {without} off)",
        PROCESSES * TRANSFERS
    );
    Ok(if with == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn both_rounds(bank: &mut PgConnection, url: &str, schema: &str) -> Result<(u64, u64)> {
    println!("{PROCESSES} processes make {TRANSFERS} transfers each, under locks:");
    let with = round(bank, url, schema, true).await?;
    println!("the same without the locks:");
    let without = round(bank, url, schema, false).await?;
    Ok((with, without))
}

/// Lets four processes move money about; how much has come or gone.
async fn round(bank: &mut PgConnection, url: &str, schema: &str, locked: bool) -> Result<u64> {
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS accounts;
         CREATE TABLE accounts (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL)",
    )
    .execute(&mut *bank)
    .await?;
    for account in 0..ACCOUNTS {
        sqlx::query("INSERT INTO accounts VALUES ($1, $2)")
            .bind(account.cast_signed())
            .bind(DEPOSIT)
            .execute(&mut *bank)
            .await?;
    }
    let mut workers = Workers(Vec::new());
    for seed in 0..PROCESSES {
        let mut worker = Command::new(std::env::current_exe()?);
        worker.args(["--worker", &seed.to_string(), &locked.to_string(), schema]);
        // Not as an argument: a URL has a password in it, and arguments are for all to see.
        workers.0.push(worker.env("DLOCK_URL", url).spawn()?);
    }
    while workers.are_running()? {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let balances: Vec<i64> =
        sqlx::query_scalar("SELECT balance FROM accounts ORDER BY id").fetch_all(bank).await?;
    let (before, after) = (ACCOUNTS.cast_signed() * DEPOSIT, balances.iter().sum::<i64>());
    println!("  {balances:?}: {after} of {before}");
    Ok(before.abs_diff(after))
}

/// The processes that were started; none is left behind.
struct Workers(Vec<Child>);

impl Workers {
    fn are_running(&mut self) -> Result<bool> {
        let mut running = false;
        for worker in &mut self.0 {
            match worker.try_wait()? {
                None => running = true,
                Some(status) if status.success() => {}
                Some(status) => return Err(format!("a worker ended with {status}").into()),
            }
        }
        Ok(running)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            // One that has ended already cannot be killed, and need not be.
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
