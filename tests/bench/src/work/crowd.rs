//! W7: a crowd on a hundred keys; each task takes its key once.

use tokio::task::JoinSet;

use crate::args::Args;
use crate::clock::{now, percentile};
use crate::locks::Locks;
use crate::server::Server;

/// So many pairs are enough; a smaller crowd comes again, for a part of the window.
const ENOUGH: usize = 10_000;

pub async fn run<L: Locks>(args: &Args) -> String {
    let mut server = Server::at(&args.url).await;
    let locks = L::connect(args).await;
    let warm = locks.acquire("bench:crowd:warm", None).await.unwrap();
    locks.release(warm).await;
    let statements = server.statements().await;
    let begun = now();
    let end = begun + args.window().as_nanos() as u64 / 4;
    let mut waits = Vec::new();
    while waits.is_empty() || (waits.len() < ENOUGH && now() < end) {
        waits.append(&mut crowd(args.tasks, &locks).await);
    }
    let took = now() - begun;
    let statements = server.statements().await - statements;
    format!(
        r#"{{"tasks":{},"ops":{:.1},"p50_us":{:.1},"p99_us":{:.1},"statements_per_pair":{:.4}}}"#,
        args.tasks,
        waits.len() as f64 / (took as f64 / 1e9),
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99),
        statements as f64 / waits.len() as f64
    )
}

/// How long each has waited.
async fn crowd<L: Locks>(size: usize, locks: &L) -> Vec<i64> {
    let tag = std::process::id();
    let mut tasks = JoinSet::new();
    for i in 0..size {
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
    tasks.join_all().await
}
