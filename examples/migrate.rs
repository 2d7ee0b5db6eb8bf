//! A migration that every instance wants to run at its start, and that builds an index with
//! `CREATE INDEX CONCURRENTLY`: the recipe of `docs/migrations.md`.
//!
//! `cargo run --example migrate -- --url postgres://user@host/database` makes a table there, builds an
//! index on it alone, and then starts four processes of itself that all want to build it at the same
//! time. One does, the others wait for it, and it takes no longer than alone: those who wait ask for the
//! lock again and again (`retry_every`), and no statement of theirs waits in the server.

use std::error::Error;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use dlock::Locker;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const INSTANCES: usize = 4;
/// What those who wait may cost the migration.
const COST: Duration = Duration::from_secs(1);
/// A busy machine may take its time once.
const ROUNDS: usize = 3;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Brings the database up to date. All instances call it when they start; one does the work.
async fn migrate(url: &str) -> Result<()> {
    let locker = Locker::builder(url).retry_every(Duration::from_millis(200)).connect().await?;
    let lock = locker.lock("migrate").timeout(Duration::from_secs(600));
    lock.run(async |_| apply(url).await).await??;
    locker.close().await;
    Ok(())
}

/// What is not there yet is made: here an index.
async fn apply(url: &str) -> Result<()> {
    let mut conn = PgConnection::connect(url).await?;
    let there =
        sqlx::query("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('dlock_demo_i')");
    if there.fetch_optional(&mut conn).await?.is_none() {
        // So that the others are there and wait, as in a deployment.
        tokio::time::sleep(Duration::from_millis(500)).await;
        println!("{}", build(&mut conn).await?.as_millis());
    }
    conn.close().await?;
    Ok(())
}

/// Builds the index; how long that took.
async fn build(conn: &mut PgConnection) -> Result<Duration> {
    let start = Instant::now();
    run(conn, "CREATE INDEX CONCURRENTLY dlock_demo_i ON dlock_demo (n)").await?;
    Ok(start.elapsed())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--url", url] => parent(url),
        ["--instance"] => instance(),
        _ => {
            eprintln!("usage: migrate --url postgres://user@host/database");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("migrate: {error}");
        ExitCode::FAILURE
    })
}

/// One of the four processes. It finds the database's URL in `DLOCK_URL`.
#[tokio::main(flavor = "current_thread")]
async fn instance() -> Result<ExitCode> {
    migrate(&std::env::var("DLOCK_URL")?).await?;
    Ok(ExitCode::SUCCESS)
}

#[tokio::main(flavor = "current_thread")]
async fn parent(url: &str) -> Result<ExitCode> {
    let mut conn = PgConnection::connect(url).await?;
    run(&mut conn, "DROP TABLE IF EXISTS dlock_demo").await?;
    run(&mut conn, "CREATE TABLE dlock_demo AS SELECT n FROM generate_series(1, 10000) n").await?;
    let outcome = rounds(url, &mut conn).await;
    run(&mut conn, "DROP TABLE dlock_demo").await?;
    conn.close().await?;
    outcome
}

async fn rounds(url: &str, conn: &mut PgConnection) -> Result<ExitCode> {
    for _ in 0..ROUNDS {
        let alone = build(conn).await?;
        run(conn, "DROP INDEX dlock_demo_i").await?;
        let builds = together(url).await?;
        let &[beside] = &builds[..] else {
            return Err(format!("the index was built {} times", builds.len()).into());
        };
        run(conn, "DROP INDEX dlock_demo_i").await?;
        println!(
            "migrate: {INSTANCES} processes, 1 has built the index: in {} ms, alone in {} ms",
            beside.as_millis(),
            alone.as_millis()
        );
        if beside < alone + COST {
            return Ok(ExitCode::SUCCESS);
        }
    }
    Ok(ExitCode::FAILURE)
}

/// How long each process took that has built the index.
async fn together(url: &str) -> Result<Vec<Duration>> {
    let me = std::env::current_exe()?;
    let mut instances: Vec<Child> = Vec::new();
    for _ in 0..INSTANCES {
        let mut instance = Command::new(&me);
        // Not as an argument: a URL has a password in it, and arguments are for all to see.
        instance.arg("--instance").env("DLOCK_URL", url).stdout(Stdio::piped());
        instances.push(instance.spawn()?);
    }
    // All are waited for, whatever comes of one.
    let ended: Vec<_> = instances.into_iter().map(Child::wait_with_output).collect();
    let mut builds = Vec::new();
    for instance in ended {
        let instance = instance?;
        if !instance.status.success() {
            return Err(format!("an instance ended with {}", instance.status).into());
        }
        for millis in String::from_utf8(instance.stdout)?.lines() {
            builds.push(Duration::from_millis(millis.parse()?));
        }
    }
    Ok(builds)
}

async fn run(conn: &mut PgConnection, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await?;
    Ok(())
}
