//! W4: what waiting costs, on a key that is held throughout.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::Args;
use crate::locks::Locks;
use crate::server::Server;

pub async fn run<L: Locks>(args: &Args) -> String {
    let mut server = Server::at(&args.url).await;
    let before = server.connections().await;
    let other = L::connect(args).await;
    let held = other.acquire("bench:held", None).await.unwrap();
    let holding = server.connections().await;
    let locks = L::connect(args).await;
    let mut waiting = JoinSet::new();
    for _ in 0..args.tasks {
        let locks = locks.clone();
        waiting.spawn(async move {
            if let Some(held) = locks.acquire("bench:held", Some(Duration::from_secs(600))).await {
                locks.release(held).await;
            }
        });
    }
    sleep(Duration::from_secs(3)).await;
    let statements = server.statements().await;
    sleep(args.window()).await;
    let statements = server.statements().await - statements;
    let (connections, pinned) = (server.connections().await, server.pinned().await);
    other.release(held).await;
    waiting.join_all().await;
    format!(
        r#"{{"waiters":{},"statements_per_s":{:.2},"connections":{},"holder_connections":{},"pinned_xmin":{pinned}}}"#,
        args.tasks,
        statements as f64 / args.seconds,
        connections - holding,
        holding - before
    )
}
