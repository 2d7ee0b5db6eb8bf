//! W1, W2: tasks that take keys which nobody else wants. W9: the same from sync code.

use tokio::task::JoinSet;

use crate::args::Args;
use crate::clock::{now, percentile};
use crate::locks::Locks;
use crate::server::Server;
use crate::who::Ours;

pub async fn run<L: Locks>(args: &Args) -> String {
    let locks = L::connect(args).await;
    let window = args.window().as_nanos() as u64;
    let tag = std::process::id();
    for i in 0..args.tasks {
        let held = locks.acquire(&format!("bench:{tag}:{i}:warm"), None).await.unwrap();
        locks.release(held).await;
    }
    let mut server = None;
    let mut statements = 0;
    if args.counted {
        statements = server.insert(Server::at(&args.url).await).statements().await;
    }
    let mut tasks = JoinSet::new();
    let end = now() + window;
    for i in 0..args.tasks {
        let locks = locks.clone();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(1 << 16);
            for k in 0.. {
                let begun = now();
                if begun >= end {
                    break;
                }
                let held = locks.acquire(&format!("bench:{tag}:{i}:{k}"), None).await.unwrap();
                locks.release(held).await;
                times.push((now() - begun) as i64);
            }
            times
        });
    }
    let times = tasks.join_all().await.concat();
    let mut per_pair = None;
    if let Some(mut server) = server {
        let statements = server.statements().await - statements;
        per_pair = Some(statements as f64 / times.len() as f64);
    }
    line(args, times, per_pair)
}

pub fn blocking(args: &Args, locks: Ours) -> String {
    let tag = std::process::id();
    locks.pair_blocking(&format!("bench:{tag}:warm"));
    let end = now() + args.window().as_nanos() as u64;
    let mut times = Vec::with_capacity(1 << 16);
    for k in 0.. {
        let begun = now();
        if begun >= end {
            break;
        }
        locks.pair_blocking(&format!("bench:{tag}:{k}"));
        times.push((now() - begun) as i64);
    }
    line(args, times, None)
}

fn line(args: &Args, mut times: Vec<i64>, statements: Option<f64>) -> String {
    let statements = statements.map(|n| format!(r#","statements_per_pair":{n:.4}"#));
    format!(
        r#"{{"ops":{:.1},"p50_us":{:.1},"p99_us":{:.1}{}}}"#,
        times.len() as f64 / args.seconds,
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        statements.unwrap_or_default()
    )
}
