//! A double as a process of its own.

use std::io;
use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Serves on loopback: on the port that is the program's argument. Without one, it takes one that is free, and ends
/// when nobody holds the other end of its input any more.
///
/// # Errors
/// When nobody can come, or none any more.
pub fn run<F: Future<Output = io::Result<()>>>(
    serve: impl FnOnce(TcpListener) -> F,
) -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    if port.is_none() {
        std::thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            std::process::exit(0);
        });
    }
    // Calls that wait for locks may be many.
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).max_blocking_threads(4096).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
        println!("ready for connections on port {}", listener.local_addr()?.port());
        serve(listener).await
    })
}
