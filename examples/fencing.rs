//! What a fencing token is for: a holder that was frozen writes after its successor, and is refused.
//!
//! `cargo run --example fencing` starts two processes of itself that want to change one document.
//! The first has the lock and has read the document when it is frozen (`SIGSTOP`, as a suspended
//! laptop or a paused container would be), for longer than a vanished holder may keep its lock. So
//! the second one gets the lock, and writes. Then the first goes on where it was, knows nothing of all
//! this, and writes what it made of the old text; but its write carries its token, and the document
//! has seen a later one. The locks are kept in an SQLite file that is made for it, or in another
//! database: `cargo run --example fencing -- --url postgres://user@host/database`.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

use dlock::{LeaseOptions, Locker, fence};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// How long a holder that has vanished keeps its lock; short, for a demonstration.
const TTL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => parent(None).await,
        ["--url", url] => parent(Some(url)).await,
        ["--writer", name, file] => writer(name, Path::new(file)).await,
        _ => {
            eprintln!("usage: fencing [--url postgres://user@host/database]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("fencing: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

/// Changes the document under the lock. It finds the database's URL in `DLOCK_URL`, and is told when
/// to go on.
async fn writer(name: &str, file: &Path) -> Result<()> {
    let url = std::env::var("DLOCK_URL")?;
    let leases = url.starts_with("lease+") || url.starts_with("sqlite");
    let builder = Locker::builder(&url);
    let builder = match leases {
        true => builder.lease_options(LeaseOptions::new().ttl(TTL)),
        false => builder.session_ttl(TTL),
    };
    let locker = builder.connect().await?;
    let mut documents = open(file).await?;

    let guard =
        locker.lock("document:7").fenced().timeout(Duration::from_secs(60)).acquire().await?;
    let token = fence::token(&guard)?;
    let text: String = sqlx::query_scalar("SELECT text FROM documents WHERE id = 7")
        .fetch_one(&mut documents)
        .await?;
    println!("read {token}");

    // Here it can be frozen, and so can every program between its last look at the lock and its write.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;

    let update = format!(
        "UPDATE documents SET text = $1, fence = $2 WHERE id = 7 AND {}",
        fence::condition("fence", "$2")
    );
    let written = sqlx::query(AssertSqlSafe(update))
        .bind(format!("{text}, changed by the {name}"))
        .bind(fence::bind(token))
        .execute(&mut documents)
        .await?;
    match fence::accepted(written.rows_affected(), &guard) {
        Ok(()) => println!("accepted"),
        Err(error) => println!("refused: {error}"),
    }
    drop(guard);
    locker.close().await;
    Ok(())
}

async fn open(file: &Path) -> Result<SqliteConnection> {
    Ok(SqliteConnectOptions::new().filename(file).create_if_missing(true).connect().await?)
}

async fn parent(url: Option<&str>) -> Result<()> {
    if url.is_some_and(|url| url.starts_with("memory:")) {
        return Err("two processes cannot share memory: locks; name a database".into());
    }
    let folder = std::env::temp_dir().join(format!("dlock-fencing-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = demonstrate(&folder, url).await;
    std::fs::remove_dir_all(&folder)?;
    let (first, second) = outcome?;
    println!("fencing: a write with token {first} came after one with token {second}: refused");
    Ok(())
}

/// The tokens of the two.
async fn demonstrate(folder: &Path, url: Option<&str>) -> Result<(u64, u64)> {
    let sqlite = format!("sqlite://{}", folder.join("locks.db").display());
    let url = url.unwrap_or(&sqlite);
    let file = folder.join("documents.db");
    let mut documents = open(&file).await?;
    sqlx::raw_sql(
        "CREATE TABLE documents (id INTEGER PRIMARY KEY, text TEXT NOT NULL, \
         fence BIGINT NOT NULL DEFAULT 0); \
         INSERT INTO documents (id, text) VALUES (7, 'a text')",
    )
    .execute(&mut documents)
    .await?;

    let mut first = Writer::start("first", &file, url)?;
    let stale = first.token()?;
    println!("the first writer has the lock, with token {stale}, and has read the document");
    first.signal("STOP")?;
    println!("it is frozen");

    let mut second = Writer::start("second", &file, url)?;
    let token = second.token()?;
    println!("after {TTL:?} and a little, the second writer has the lock, with token {token}");
    let answer = second.go_on()?;
    println!("it writes: {answer}");

    first.signal("CONT")?;
    println!("the first one goes on");
    let answer = first.go_on()?;
    println!("it writes: {answer}");

    let text: String = sqlx::query_scalar("SELECT text FROM documents WHERE id = 7")
        .fetch_one(&mut documents)
        .await?;
    println!("the document: {text}");
    if token <= stale || !answer.starts_with("refused") || text != "a text, changed by the second" {
        return Err("the stale write was not refused".into());
    }
    Ok((stale, token))
}

/// One of the two processes; none is left behind.
struct Writer {
    process: Child,
    orders: ChildStdin,
    words: BufReader<ChildStdout>,
}

impl Writer {
    fn start(name: &str, file: &Path, url: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--writer", name])
            .arg(file)
            // Not as an argument: a URL has a password in it, and arguments are for all to see.
            .env("DLOCK_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().ok_or("it has no input")?;
        let words = BufReader::new(process.stdout.take().ok_or("it has no output")?);
        Ok(Writer { process, orders, words })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.words.read_line(&mut line)? {
            0 => Err("a writer has ended".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    fn token(&mut self) -> Result<u64> {
        let line = self.line()?;
        Ok(line.strip_prefix("read ").ok_or(line.as_str())?.parse()?)
    }

    fn go_on(&mut self) -> Result<String> {
        writeln!(self.orders)?;
        self.line()
    }

    fn signal(&self, name: &str) -> Result<()> {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            _ => Err("processes can be frozen on Unix only, by kill -s STOP".into()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // One that has ended already cannot be killed, and need not be.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
