//! A double click must not run an export twice, whichever of two servers it meets.
//!
//! `cargo run --example axum_export --features axum` starts two web servers, each a process of its
//! own, and clicks twice on the same export, once on each server: the second click is answered with
//! `409 Conflict` while the first export runs; another resource is exported meanwhile. The lock is kept
//! in an SQLite file that is made for it, or in another database:
//! `cargo run --example axum_export --features axum -- --url postgres://user@host/database`.

use std::error::Error;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::Path as Segment;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// The handler. The key is read from the extractor's pattern, as any parameter.
#[dlock::locked(
    key = "export:<resource>",
    timeout = 0,
    on_busy = (StatusCode::CONFLICT, "an export of this runs already\n").into_response(),
    on_error = unavailable
)]
async fn export(Segment(resource): Segment<u64>) -> Response {
    sleep(Duration::from_secs(1)).await;
    format!("exported {resource}\n").into_response()
}

/// No lock, no export: the database is down, or the lock was lost on the way.
fn unavailable(error: dlock::Error) -> Response {
    eprintln!("axum_export: {error}");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

fn router() -> Router {
    Router::new().route("/export/{resource}", post(export))
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => clicks(None).await,
        ["--url", url] => clicks(Some(url)).await,
        ["--serve"] => serve().await,
        _ => {
            eprintln!("usage: axum_export [--url postgres://user@host/database]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_export: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One of the two servers. It finds the database's URL in `DLOCK_URL`.
async fn serve() -> Result<()> {
    dlock::init_from_env().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, router()).await?)
}

async fn clicks(url: Option<&str>) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("dlock-axum-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let outcome = two_servers(&folder, url).await;
    std::fs::remove_dir_all(&folder)?;
    outcome
}

async fn two_servers(folder: &Path, url: Option<&str>) -> Result<()> {
    let sqlite = format!("sqlite://{}", folder.join("locks.db").display());
    let url = url.unwrap_or(&sqlite);
    let [(_one, a), (_other, b)] = [server(url).await?, server(url).await?];

    let first = tokio::spawn(click(a, "/export/7"));
    sleep(Duration::from_millis(300)).await;
    let second = click(b.clone(), "/export/7").await?;
    let other = click(b.clone(), "/export/8").await?;
    let first = first.await??;
    let later = click(b, "/export/7").await?;
    println!("  the first click on 7: {first}");
    println!("  the second, on another server: {second}");
    println!("  one on 8 meanwhile: {other}");
    println!("  one on 7 afterwards: {later}");
    if [first, second, other, later] != [200, 409, 200, 200] {
        return Err("that is not as it should be".into());
    }
    println!("axum_export: 2 servers, 1 export of a resource at a time");
    Ok(())
}

/// Starts a server, which ends with us; its address is what it says first.
async fn server(url: &str) -> Result<(Child, String)> {
    let mut server = Command::new(std::env::current_exe()?);
    // Not as an argument: a URL has a password in it, and arguments are for all to see.
    server.arg("--serve").env("DLOCK_URL", url).stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = server.spawn()?;
    let output = server.stdout.take().ok_or("a server without output")?;
    let address = BufReader::new(output).lines().next_line().await?;
    Ok((server, address.ok_or("the server has ended")?))
}

/// Posts a request, and says what status comes back.
async fn click(address: String, path: &'static str) -> Result<u16> {
    let mut stream = TcpStream::connect(&address).await?;
    let request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    let status = response.split(' ').nth(1).ok_or("no answer")?;
    Ok(status.parse()?)
}
