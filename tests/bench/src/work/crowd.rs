//! W7: a crowd on a hundred keys; each task takes its key once.

use tokio::task::JoinSet;

use crate::args::Args;
use crate::clock::{now, percentile};
use crate::locks::Locks;
use crate::server::Server;

pub async fn run<L: Locks>(args: &Args) -> String {
    let mut server = Server::at(&args.url).await;
    let locks = L::connect(args).await;
    let tag = std::process::id();
    let statements = server.statements().await;
    let begun = now();
    let mut tasks = JoinSet::new();
    for i in 0..args.tasks {
        let locks = locks.clone();
        tasks.spawn(async move {
            let asked = now();
            let key = format!("bench:crowd:{tag}:{}", i % 100);
            let held = locks.acquire(&key, None).await.unwrap();
            let waited = (now() - asked) as i64;
            tokio::task::yield_now().await;
            locks.release(held).await;
            waited
        });
    }
    let mut waits = tasks.join_all().await;
    let took = now() - begun;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let statements = server.statements().await - statements;
    format!(
        r#"{{"tasks":{},"ops":{:.1},"p50_us":{:.1},"p99_us":{:.1},"statements_per_pair":{:.3}}}"#,
        args.tasks,
        args.tasks as f64 / (took as f64 / 1e9),
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99),
        statements as f64 / args.tasks as f64
    )
}
