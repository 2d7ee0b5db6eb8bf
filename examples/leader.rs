//! Three processes, of which one leads: the leader is killed, the next one frozen, the third one asked to
//! go, and each time another one takes over.
//!
//! `cargo run --example leader` does that with an SQLite file that is made for it; another database:
//! `cargo run --example leader -- --url postgres://user@host/database`. On Unix, for its signals.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use dlock::{Guard, LeaseOptions, Locker};

/// How long a leader that has vanished stays the leader. Short here, so that this is soon over.
const TTL: Duration = Duration::from_secs(2);
/// A machine that is busy needs longer than that.
const PATIENCE: Duration = Duration::from_secs(60);

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => parent(None),
        ["--url", url] => parent(Some(url)),
        ["--candidate", name, log] => candidate(name, Path::new(log)),
        _ => {
            eprintln!("usage: leader [--url postgres://user@host/database]");
            return ExitCode::from(2);
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("leader: {error}");
        ExitCode::FAILURE
    })
}

/// One of the three. It finds the database's URL in `DLOCK_URL`.
#[tokio::main(flavor = "current_thread")]
async fn candidate(name: &str, log: &Path) -> Result<ExitCode> {
    let url = std::env::var("DLOCK_URL")?;
    let is_lease = url.starts_with("lease+") || url.starts_with("sqlite:");
    let builder = Locker::builder(&url);
    let builder = match is_lease {
        true => builder.lease_options(LeaseOptions::new().ttl(TTL)),
        false => builder.session_ttl(TTL),
    };
    let locker = builder.connect().await?;
    let own = name.to_owned();
    let leader = locker.lock("scheduler").fenced().leader();
    let leader = leader.on_change(move |role| println!("  {own}: {role}"));
    tokio::spawn({
        let leader = leader.clone();
        async move {
            terminated().await;
            // Steps down: the next one is elected at once, and `run` returns.
            leader.stop();
        }
    });
    leader.run(async |term: &Guard| serve(name, term.fence().unwrap_or(0), log).await).await?;
    locker.close().await;
    Ok(ExitCode::SUCCESS)
}

/// What only the leader does. A term that is lost drops this at its await.
async fn serve(name: &str, fence: u64, log: &Path) {
    loop {
        let written = OpenOptions::new().append(true).open(log);
        // One write for each line, so that lines are whole.
        let line = format!("{fence} {name}\n");
        if written.and_then(|mut log| log.write_all(line.as_bytes())).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Ends when somebody asks the process to end.
async fn terminated() {
    #[cfg(unix)]
    if let Ok(mut signal) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    {
        signal.recv().await;
        return;
    }
    // Nobody can be told anything without it.
    let _ = tokio::signal::ctrl_c().await;
}

fn parent(url: Option<&str>) -> Result<ExitCode> {
    let folder = std::env::temp_dir().join(format!("dlock-leader-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let sqlite = format!("sqlite://{}", folder.join("locks.db").display());
    let outcome = reign(&folder.join("log"), url.unwrap_or(&sqlite));
    fs::remove_dir_all(&folder)?;
    let (terms, late) = outcome?;
    let fences: Vec<String> = terms.iter().map(|term| term.0.to_string()).collect();
    println!(
        "leader: 3 processes, {} terms, fences {}, {late} late",
        terms.len(),
        fences.join(" < ")
    );
    // Whoever is frozen between its look at the lock and its write is late by one, which a check of
    // the fence would refuse (docs/leader.md).
    Ok(if terms.len() >= 4 && late <= 1 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All terms with their fences, and how many lines came after a later term had begun.
fn reign(log: &Path, url: &str) -> Result<(BTreeMap<u64, String>, usize)> {
    fs::write(log, "")?;
    let mut all = Candidates { log: log.to_owned(), children: BTreeMap::new() };
    for name in ["ada", "bob", "cyd"] {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--candidate", name]).arg(log);
        // Not as an argument: a URL has a password in it, and arguments are for all to see.
        all.children.insert(name.to_owned(), child.env("DLOCK_URL", url).spawn()?);
    }
    let first = all.next_leader("")?;
    println!("{first} leads, and is killed");
    all.signal(&first, "KILL")?;
    let second = all.next_leader(&first)?;
    println!("{second} leads, and is frozen");
    all.signal(&second, "STOP")?;
    let third = all.next_leader(&second)?;
    println!("{third} leads, and is asked to go, when {second} is thawed");
    all.signal(&second, "CONT")?;
    all.signal(&third, "TERM")?;
    all.ends(&third)?;
    let last = all.next_leader(&third)?;
    println!("{last} leads again");
    all.signal(&last, "TERM")?;
    all.ends(&last)?;

    let (mut terms, mut late) = (BTreeMap::new(), 0);
    for line in fs::read_to_string(log)?.lines() {
        let (fence, name) = line.split_once(' ').ok_or("a line without a name")?;
        let fence = fence.parse()?;
        late += usize::from(terms.keys().next_back().is_some_and(|newest| fence < *newest));
        let other = terms.entry(fence).or_insert_with(|| name.to_owned());
        if other != name {
            return Err(format!("{other} and {name} both led with fence {fence}").into());
        }
    }
    Ok((terms, late))
}

/// The processes that were started; none is left behind.
struct Candidates {
    log: PathBuf,
    children: BTreeMap<String, Child>,
}

impl Candidates {
    /// The one that leads when that one does not any more.
    fn next_leader(&self, last: &str) -> Result<String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let log = fs::read_to_string(&self.log)?;
            let leader = log.lines().last().and_then(|line| line.split_once(' '));
            if let Some((_, name)) = leader.filter(|(_, name)| *name != last) {
                return Ok(name.to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("nobody else leads within {PATIENCE:?}").into())
    }

    fn signal(&self, name: &str, signal: &str) -> Result<()> {
        let child = self.children.get(name).ok_or("no such process")?;
        let id = child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status()?;
        if sent.success() { Ok(()) } else { Err(format!("kill ended with {sent}").into()) }
    }

    fn ends(&mut self, name: &str) -> Result<()> {
        let status = self.children.get_mut(name).ok_or("no such process")?.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}").into()) }
    }
}

impl Drop for Candidates {
    fn drop(&mut self) {
        for child in self.children.values_mut() {
            // One that has ended already cannot be killed, and need not be.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
