//! The main job, end to end: several processes, one counter, one lock.
//!
//! `cargo run --example quickstart` starts four processes of itself that add to one number in a
//! file, read and written without any care, in functions with `#[dlock::locked]`: two of the
//! processes are async, two are sync. The lock is kept in an SQLite file that is made for it, or in
//! another database: `cargo run --example quickstart -- --url postgres://user@host/database`.
//! Afterwards the same is done without the lock, to show what it prevents.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::Duration;

const PROCESSES: u64 = 4;
const INCREMENTS: u64 = 250;
const ALL: u64 = PROCESSES * INCREMENTS;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

#[dlock::locked(key = "counter:<name>", timeout = 60)]
async fn add_one(name: &str, file: &Path) -> Result<()> {
    let count = read(file)?;
    tokio::time::sleep(Duration::from_micros(100)).await;
    write(file, count + 1)
}

#[dlock::locked(key = "counter:<name>", timeout = 60)]
fn add_one_sync(name: &str, file: &Path) -> Result<()> {
    let count = read(file)?;
    std::thread::sleep(Duration::from_micros(100));
    write(file, count + 1)
}

fn read(file: &Path) -> Result<u64> {
    Ok(fs::read_to_string(file)?.trim().parse()?)
}

/// Always of one width, so that a reader without a lock never finds half a number.
fn write(file: &Path, count: u64) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file.write_all(format!("{count:>10}\n").as_bytes())?)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => parent(None),
        ["--url", url] => parent(Some(url)),
        ["--worker", kind, file] => worker(kind, Path::new(file)),
        _ => {
            eprintln!("usage: quickstart [--url postgres://user@host/database]");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprint!("quickstart: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            eprint!(": {error}");
            cause = error.source();
        }
        eprintln!();
        ExitCode::FAILURE
    })
}

/// One of the four processes. It finds the database's URL in `DLOCK_URL`; without, it does not lock.
fn worker(kind: &str, file: &Path) -> Result<ExitCode> {
    let locked = std::env::var_os("DLOCK_URL").is_some();
    if locked {
        dlock::init_from_env_blocking()?;
    } else {
        dlock::set_enabled(false);
    }
    match kind {
        "async" => tokio::runtime::Runtime::new()?.block_on(async {
            for _ in 0..INCREMENTS {
                add_one("quickstart", file).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(())
        })?,
        _ => {
            for _ in 0..INCREMENTS {
                add_one_sync("quickstart", file)?;
            }
        }
    }
    if locked {
        dlock::registry::default()?.close_blocking();
    }
    Ok(ExitCode::SUCCESS)
}

fn parent(url: Option<&str>) -> Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("dlock-quickstart-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let outcome = both_rounds(&folder, url);
    fs::remove_dir_all(&folder)?;
    let (counted, without) = outcome?;
    let (lost, lost_without) = (ALL.abs_diff(counted), ALL.abs_diff(without));
    println!(
        "quickstart: {PROCESSES} processes, {ALL} increments, {counted} counted, {lost} lost \
         (without the lock: {lost_without} lost)"
    );
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn both_rounds(folder: &Path, url: Option<&str>) -> Result<(u64, u64)> {
    let sqlite = format!("sqlite://{}", folder.join("locks.db").display());
    let url = url.unwrap_or(&sqlite);
    let backend = url.split(':').next().unwrap_or_default();
    println!(
        "{PROCESSES} processes add {INCREMENTS} each to one number, under a lock in {backend}:"
    );
    let counted = round(folder.join("with"), Some(url))?;
    println!("the same without the lock:");
    let without = round(folder.join("without"), None)?;
    Ok((counted, without))
}

/// Lets four processes count, and says what they come to.
fn round(file: PathBuf, url: Option<&str>) -> Result<u64> {
    write(&file, 0)?;
    let me = std::env::current_exe()?;
    let mut workers = Workers(Vec::new());
    for kind in ["async", "sync", "async", "sync"] {
        let mut worker = Command::new(&me);
        worker.args(["--worker", kind]).arg(&file).env_remove("DLOCK_URL");
        // Not as an argument: a URL has a password in it, and arguments are for all to see.
        worker.envs(url.map(|url| ("DLOCK_URL", url)));
        workers.0.push(worker.spawn()?);
    }
    let mut shown = 0;
    loop {
        let running = workers.are_running()?;
        let count = read(&file)?;
        if count >= shown + ALL / 5 || !running {
            println!("  {count:>4} of {ALL}");
            shown = count;
        }
        if !running {
            return Ok(count);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
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
