//! A program that is told to stop ends what it has begun, and leaves no lock behind.
//!
//! `cargo run --example stop --features axum` starts a web server and a worker, each a process of its
//! own that holds a lock, and sends them SIGTERM, as a deployment does. Both end in good order, and
//! their locks are free at once. The locks are leases in an SQLite file that is made for it, where a lock
//! that is left behind would be taken for ten more seconds; or in another database:
//! `cargo run --example stop --features axum -- --url postgres://user@host/database`.

use std::error::Error;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use dlock::Locker;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Ends when the program is told to stop: by Ctrl-C, or by whoever runs it.
async fn stopped() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return eprintln!("stop: signals cannot be caught here");
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// A web server: requests that are under way end, with their locks. Then the lockers are closed.
async fn serve() -> Result<()> {
    dlock::init_from_env().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let router = Router::new().route("/report", post(report));
    axum::serve(listener, router).with_graceful_shutdown(stopped()).await?;
    dlock::shutdown().await;
    Ok(())
}

#[dlock::locked(key = "report", on_busy = "busy\n", on_error = |_| "no lock\n")]
async fn report() -> &'static str {
    sleep(Duration::from_secs(1)).await;
    "done\n"
}

/// A worker: it holds its lock for as long as it runs, and stops between two steps.
async fn work() -> Result<()> {
    let locker = dlock::init_from_env().await?;
    let guard = locker.lock("import").acquire().await?;
    println!("working");
    let mut stop = std::pin::pin!(stopped());
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            step = guard.protect(sleep(Duration::from_millis(10))) => step?,
        }
    }
    guard.release().await?;
    dlock::shutdown().await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => both(None).await,
        ["--url", url] => both(Some(url)).await,
        ["--serve"] => serve().await,
        ["--work"] => work().await,
        _ => {
            eprintln!("usage: stop [--url postgres://user@host/database]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stop: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn both(url: Option<&str>) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("dlock-stop-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = stop_both(&folder, url).await;
    std::fs::remove_dir_all(&folder)?;
    outcome
}

async fn stop_both(folder: &Path, url: Option<&str>) -> Result<()> {
    let sqlite = format!("sqlite://{}", folder.join("locks.db").display());
    let url = url.unwrap_or(&sqlite);
    let locker = Locker::connect(url).await?;
    let (server, address) = start("--serve", url).await?;
    let answer = tokio::spawn(request(address));
    until_held(&locker, "report").await?;
    stop(server).await?;
    let answer = answer.await??;
    println!("  the server has ended, and answered what it had begun: {answer}");
    is_free(&locker, "report").await?;

    let (worker, _) = start("--work", url).await?;
    until_held(&locker, "import").await?;
    stop(worker).await?;
    println!("  the worker has ended");
    is_free(&locker, "import").await?;
    if answer != "done" {
        return Err("that is not as it should be".into());
    }
    println!("stop: a server and a worker stopped, 2 locks free at once");
    Ok(())
}

/// Starts one of the two, which ends with us; and what it says first.
async fn start(which: &str, url: &str) -> Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?);
    // Not as an argument: a URL has a password in it, and arguments are for all to see.
    child.arg(which).env("DLOCK_URL", url).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = child.spawn()?;
    let output = child.stdout.take().ok_or("a program without output")?;
    let first = BufReader::new(output).lines().next_line().await?;
    Ok((child, first.ok_or("it has ended at once")?))
}

/// Tells it to stop, and waits until it has.
async fn stop(mut child: Child) -> Result<()> {
    let id = child.id().ok_or("it has ended before")?.to_string();
    Command::new("kill").args(["-TERM", &id]).status().await?;
    let ended = child.wait().await?;
    if ended.success() { Ok(()) } else { Err(format!("it ended with {ended}").into()) }
}

async fn until_held(locker: &Locker, key: &str) -> Result<()> {
    while let Some(guard) = locker.lock(key).try_acquire().await? {
        guard.release().await?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A server sees the end of a session a moment after that of its process; a lease has no such moment.
async fn is_free(locker: &Locker, key: &str) -> Result<()> {
    let lock = locker.lock(key).timeout(Duration::from_secs(2));
    let guard = lock.acquire().await.map_err(|error| format!("it was left behind: {error}"))?;
    Ok(guard.release().await?)
}

/// Posts a request, and says what comes back.
async fn request(address: String) -> Result<String> {
    let mut stream = TcpStream::connect(&address).await?;
    let request = format!("POST /report HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response.lines().last().unwrap_or_default().to_owned())
}
