//! A job that is due on two hosts at once, and runs on one.
//!
//! `cargo run --example scheduled_job` starts two processes of itself that both have the same
//! schedule: a job is due at every tick. Their clocks differ, as those of two hosts do: the second
//! one comes late, when the first has long done the job. With `once_per`, it finds the job done for
//! this period, and skips the tick. A run that fails does not count: then the other one does the job.
//!
//! Here a tick is half a second, so that it is soon over; for a job that is due each night it is a day,
//! and `once_per = "20h"`: longer than clocks differ, shorter than a tick. The lock is kept in an SQLite
//! file that is made for it, or is a lease in another database:
//! `cargo run --example scheduled_job -- --url lease+postgres://user@host/database`. (The locks of a
//! session, as of `postgres://`, end with the session, and cannot remember what is done. There,
//! `min_hold` keeps others out while the process lives.)

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, SystemTime};

const TICKS: u32 = 10;
const TICK: Duration = Duration::from_millis(500);
/// Longer than clocks differ, shorter than a tick.
const PERIOD: Duration = Duration::from_millis(300);
/// What the second host's clock is late by.
const LATE: Duration = Duration::from_millis(100);
/// At this tick, the first host has a bad moment.
const BAD: u32 = 3;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// What is to be done once at each tick. Whoever finds it done, or somebody at it, skips.
#[dlock::locked(key = "nightly", once_per = PERIOD, on_busy = skip)]
async fn nightly(host: &str, tick: u32, log: &Path) -> Result<bool> {
    if (host, tick) == ("one", BAD) {
        return Err("the mail server is down".into());
    }
    let mut log = OpenOptions::new().append(true).create(true).open(log)?;
    writeln!(log, "{tick} {host}")?;
    Ok(true)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => parent(None),
        ["--url", url] => parent(Some(url)),
        ["--host", host, late, start, log] => worker(host, late, start, Path::new(log)),
        _ => {
            eprintln!("usage: scheduled_job [--url lease+postgres://user@host/database]");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("scheduled_job: {error}");
        ExitCode::FAILURE
    })
}

/// One of the two hosts. It finds the database's URL in `DLOCK_URL`.
#[tokio::main(flavor = "current_thread")]
async fn worker(host: &str, late: &str, start: &str, log: &Path) -> Result<ExitCode> {
    let locker = dlock::init_from_env().await?;
    let late = Duration::from_millis(late.parse()?);
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(start.parse()?);
    for tick in 1..=TICKS {
        let due = start + TICK * tick + late;
        match due.duration_since(SystemTime::now()) {
            Ok(wait) => tokio::time::sleep(wait).await,
            // A schedule that was slept through is not caught up with: others have been there.
            Err(missed) if missed.duration() > LATE => continue,
            Err(_) => {}
        }
        match nightly(host, tick, log).await {
            Ok(true) => println!("  tick {tick:>2}: {host} runs it"),
            Ok(false) => println!("  tick {tick:>2}: {host} finds it done"),
            Err(error) => println!("  tick {tick:>2}: {host} fails: {error}"),
        }
    }
    locker.close().await;
    Ok(ExitCode::SUCCESS)
}

fn parent(url: Option<&str>) -> Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("dlock-job-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let outcome = both_hosts(&folder, url);
    fs::remove_dir_all(&folder)?;
    let runs = outcome?;
    let once = runs.values().filter(|hosts| hosts.len() == 1).count();
    let twice = runs.values().filter(|hosts| hosts.len() > 1).count();
    println!("scheduled_job: {TICKS} ticks, 2 processes, {once} run once, {twice} run twice");
    // A machine that is busy may sleep through a tick, or wake up so late for one that its period is over
    // after the next; it must not run one twice.
    Ok(if twice == 0 && once > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Which hosts have run the job, by tick.
fn both_hosts(folder: &Path, url: Option<&str>) -> Result<BTreeMap<u32, Vec<String>>> {
    let sqlite = format!("sqlite://{}", folder.join("locks.db").display());
    let url = url.unwrap_or(&sqlite);
    let log = folder.join("log");
    fs::write(&log, "")?;
    let start = SystemTime::UNIX_EPOCH.elapsed()?.as_millis().to_string();
    let me = std::env::current_exe()?;
    let mut hosts = Hosts(Vec::new());
    for (host, late) in [("one", Duration::ZERO), ("two", LATE)] {
        let mut worker = Command::new(&me);
        worker.args(["--host", host, &late.as_millis().to_string(), &start]).arg(&log);
        // Not as an argument: a URL has a password in it, and arguments are for all to see.
        hosts.0.push(worker.env("DLOCK_URL", url).spawn()?);
    }
    for host in &mut hosts.0 {
        let status = host.wait()?;
        if !status.success() {
            return Err(format!("a host ended with {status}").into());
        }
    }
    let mut runs: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for line in fs::read_to_string(&log)?.lines() {
        if let Some((tick, host)) = line.split_once(' ') {
            runs.entry(tick.parse()?).or_default().push(host.to_owned());
        }
    }
    Ok(runs)
}

/// The processes that were started; none is left behind.
struct Hosts(Vec<Child>);

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &mut self.0 {
            // One that has ended already cannot be killed, and need not be.
            let _ = host.kill();
            let _ = host.wait();
        }
    }
}
