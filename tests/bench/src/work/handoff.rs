//! W3: waiters on one key, in one process or several. A hand-off goes from the call of release to
//! the return of the next holder's acquire.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tokio::task::JoinSet;

use crate::args::Args;
use crate::clock::{now, percentile};
use crate::locks::Locks;

/// From, to, who.
type Hold = (u64, u64, usize);

pub async fn run<L: Locks>(args: &Args) -> String {
    if let Some((process, start)) = args.worker {
        let mut out = std::io::stdout().lock();
        let locks = L::connect(args).await;
        for (from, to, who) in holds(args, locks, process, start).await {
            writeln!(out, "{from} {to} {who}").unwrap();
        }
        return String::new();
    }
    let start = now() + 1_000_000_000 + 50_000_000 * args.procs as u64;
    let mut all = if args.procs == 1 {
        holds(args, L::connect(args).await, 0, start).await
    } else {
        elsewhere(args, start)
    };
    all.sort_unstable();
    summary(args, &all, start)
}

async fn holds<L: Locks>(args: &Args, locks: L, process: usize, start: u64) -> Vec<Hold> {
    let here = (args.tasks / args.procs).max(1);
    let mut tasks = JoinSet::new();
    for i in 0..here {
        let (locks, args) = (locks.clone(), args.clone());
        tasks.spawn(async move {
            let wait = std::time::Duration::from_nanos(start.saturating_sub(now()));
            tokio::time::sleep(wait).await;
            let end = start + args.window().as_nanos() as u64;
            let mut holds = Vec::new();
            while now() < end {
                let Some(held) = locks.acquire("bench:hot", None).await else { continue };
                let from = now();
                if !args.hold.is_zero() {
                    // A timer of the runtime would come a millisecond late.
                    std::thread::sleep(args.hold);
                }
                let to = now();
                locks.release(held).await;
                holds.push((from, to, process * here + i));
            }
            holds
        });
    }
    tasks.join_all().await.concat()
}

fn elsewhere(args: &Args, start: u64) -> Vec<Hold> {
    let me = std::env::current_exe().unwrap();
    let given: Vec<String> = std::env::args().skip(1).collect();
    let spawn = |process: usize| {
        let mut command = Command::new(&me);
        command.args(&given).args(["--worker", &process.to_string()]);
        command.args(["--start", &start.to_string()]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let workers: Vec<_> = (0..args.procs).map(spawn).collect();
    let mut all = Vec::new();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success());
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            let numbers: Vec<u64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
            if let [from, to, who] = numbers[..] {
                all.push((from, to, who as usize));
            }
        }
    }
    all
}

/// Of the middle of the window: its ends are those of processes, not of locks.
fn summary(args: &Args, all: &[Hold], start: u64) -> String {
    let window = args.window().as_nanos() as u64;
    let (first, last) = (start + window / 10, start + window - window / 10);
    let inside: Vec<&Hold> = all.iter().filter(|hold| (first..last).contains(&hold.0)).collect();
    let mut times = Vec::new();
    let (mut overlaps, mut changed) = (0, 0);
    for pair in inside.windows(2) {
        let (earlier, later) = (pair[0], pair[1]);
        overlaps += usize::from(later.0 < earlier.1);
        changed += usize::from(later.2 != earlier.2);
        times.push(later.0 as i64 - earlier.1 as i64);
    }
    let mut fair = vec![0_u64; args.tasks];
    for hold in &inside {
        if let Some(count) = fair.get_mut(hold.2) {
            *count += 1;
        }
    }
    format!(
        r#"{{"ops":{:.1},"p50_us":{:.1},"p99_us":{:.1},"fair_max":{},"fair_min":{},"changed_hands":{:.3},"overlaps":{overlaps}}}"#,
        inside.len() as f64 / (args.seconds * 0.8),
        percentile(&mut times, 0.5),
        percentile(&mut times, 0.99),
        fair.iter().max().unwrap(),
        fair.iter().min().unwrap(),
        changed as f64 / times.len().max(1) as f64
    )
}
