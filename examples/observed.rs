//! A web service whose locks are observed: events in the log, in the span of their request, and metrics for Prometheus.
//!
//! `cargo run --example observed --features observed` starts the service, clicks on an export that hangs, and on the same one
//! once more, and shows what the log and `/metrics` say of it. With `--serve` it goes on, and prints its address. The locks
//! are kept in this process; give another database with `DLOCK_URL`.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::Instrument as _;
use tracing_subscriber::EnvFilter;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// From when on a held lock is worth a line.
const MAX_HOLD: Duration = Duration::from_millis(300);

/// The label of this lock is its template, `export:<id>`: one series for all exports.
#[dlock::locked(
    key = "export:<id>",
    timeout = 0,
    on_busy = StatusCode::CONFLICT.into_response(),
    on_error = |error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
)]
async fn export(id: u64) -> Response {
    sleep(MAX_HOLD * 2).await;
    StatusCode::OK.into_response()
}

/// The span of the request: dlock's events are emitted inside it.
async fn handle(Path(id): Path<u64>) -> Response {
    export(id).instrument(tracing::info_span!("request", id)).await
}

async fn metrics(State(recorded): State<PrometheusHandle>) -> String {
    recorded.render()
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,dlock=debug"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let serves = std::env::args().nth(1).is_some_and(|arg| arg == "--serve");
    match run(serves).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("observed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serves: bool) -> Result<()> {
    // Before the locker connects: it describes its metrics to the recorder that is there then.
    let durations = Matcher::Suffix("duration".into());
    let recorded = PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &[0.001, 0.01, 0.1, 1.0, 10.0])?
        .install_recorder()?;
    let url = std::env::var("DLOCK_URL").unwrap_or_else(|_| "memory:observed".into());
    dlock::Locker::builder(&url)
        .slow_wait(Duration::from_secs(2))
        .max_hold(MAX_HOLD)
        .init()
        .await?;

    let routes = Router::new()
        .route("/export/{id}", post(handle))
        .route("/metrics", get(metrics))
        .with_state(recorded.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    println!("{address}");
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    if serves {
        return Ok(server.await??);
    }

    let first = tokio::spawn(request(address.clone(), "POST", "/export/7"));
    sleep(MAX_HOLD / 3).await;
    let second = request(address.clone(), "POST", "/export/7").await?;
    let first = first.await??;
    let page = request(address, "GET", "/metrics").await?;
    dlock::shutdown().await;
    for line in page.lines().filter(|line| line.starts_with("dlock_")) {
        println!("{line}");
    }
    let granted = r#"lock="export:<id>",outcome="granted"} 1"#;
    let busy = r#"lock="export:<id>",outcome="busy"} 1"#;
    let counted = page.contains(granted) && page.contains(busy);
    if !first.contains("200 OK") || !second.contains("409 Conflict") || !counted {
        return Err("that is not as it should be".into());
    }
    println!("observed: 2 clicks, 1 export, and both in the metrics");
    Ok(())
}

/// Sends a request, and returns what comes back.
async fn request(address: String, method: &'static str, path: &'static str) -> Result<String> {
    let mut stream = TcpStream::connect(&address).await?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
