//! The double of SQL Server as a process of its own: `sqlserver-double PORT` listens on loopback.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tokio::runtime::Builder;

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        println!("ready for connections on port {}", listener.local_addr()?.port());
        dlock_tests::tds::serve(listener).await
    })
}
