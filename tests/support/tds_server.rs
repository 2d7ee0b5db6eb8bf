//! The double of SQL Server as a process of its own: `sqlserver-double PORT` listens on loopback. Without a port, it
//! takes one that is free, and ends when nobody holds the other end of its input any more.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    if port.is_none() {
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await?;
        println!("ready for connections on port {}", listener.local_addr()?.port());
        dlock_tests::tds::serve(listener).await
    })
}
