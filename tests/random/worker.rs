//! A process of the random tester: does its part of a plan, and writes down what comes of it.
//!
//! `random-worker URL NAMESPACE NAME TTL PLAN PROCESS JOURNAL HOW`. It says "ready", and is told
//! "go TIME". HOW is `leave`, or `judge` for the one that comes after all others, or `stay`: then it says
//! "done" when all its tasks are, and is told "judge PLAN" for one more part, with lockers of its own,
//! because what is in memory can be judged in no other process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "worker/blocking.rs"]
mod blocking;
#[path = "worker/env.rs"]
mod env;
#[path = "worker/held.rs"]
mod held;
#[path = "worker/moment.rs"]
mod moment;
#[path = "worker/target.rs"]
mod target;
#[path = "worker/tasks.rs"]
mod tasks;

use std::path::Path;
use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use dlock_tests::random::{End, Journal, Plan, Process, What};
use dlock_tests::{Site, clock};
use tokio::runtime::{Builder, Runtime};

use self::env::Env;

/// No plan takes this long; what is not answered by then is never answered.
const LIMIT: Duration = Duration::from_secs(25);
/// Its end is no longer waited for than this.
const ENDING: Duration = Duration::from_secs(10);

/// The number of the judge in journals.
const JUDGE: usize = 100;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (site, rest) = args.split_first_chunk().unwrap();
    let site = Site::from_args(site.clone());
    let [plan, process, journal] = [0, 1, 2].map(|n: usize| rest[n].clone());
    let process: usize = process.parse().unwrap();
    let (stays, judges) = (rest[3] == "stay", rest[3] == "judge");
    let open = |number| Arc::new(Journal::append(Path::new(&journal), number));
    let own = open(if judges { JUDGE } else { process });
    silence_planned_panics();
    let orders = hear();
    let part = part(&plan, process);
    perform(&site, &part, Some(&orders), &own, stays);
    if !stays {
        // Nothing is between the end of what was planned and that of `main`.
        return;
    }
    while let Ok(order) = orders.recv() {
        let Some(plan) = order.strip_prefix("judge ") else { break };
        perform(&site, &self::part(plan, 0), None, &open(JUDGE), true);
    }
}

fn part(plan: &str, process: usize) -> Process {
    let plan = Plan::from_text(&std::fs::read_to_string(plan).unwrap());
    plan.processes[process].clone()
}

/// Does a process's part.
fn perform(
    site: &Site,
    part: &Process,
    orders: Option<&mpsc::Receiver<String>>,
    journal: &Arc<Journal>,
    stays: bool,
) {
    let kind = if orders.is_some() { "" } else { "judge" };
    let runtime = runtime(part.threads);
    let env = Arc::new(runtime.block_on(Env::connect(site, part, journal, kind)));
    if let Some(orders) = orders {
        println!("ready");
        let order = orders.recv().unwrap();
        let at: u64 = order.strip_prefix("go ").unwrap().parse().unwrap();
        std::thread::sleep(Duration::from_nanos(at.saturating_sub(clock::now())));
    }
    let done = watch(journal);
    let all = runtime.spawn(tasks::all(Arc::clone(&env), part.tasks.clone()));
    let all = async {
        if part.cut == 0 {
            return all.await.unwrap();
        }
        // What is not done by then ends with its runtime.
        let _ = tokio::time::timeout(Duration::from_millis(part.cut), all).await;
    };
    runtime.block_on(all);
    done.store(true, Ordering::Relaxed);
    if part.cut > 0 && part.end == End::Exit {
        journal.write("process", &What::Gone);
        exit(0);
    }
    drop(runtime);
    journal.write("process", &What::Gone);
    let ending = Instant::now();
    if part.end == End::Close {
        let runtime = self::runtime(0);
        let closing = async { tokio::time::timeout(ENDING, env.close_all()).await };
        if runtime.block_on(closing).is_err() {
            println!("stuck: close has not ended after {:?}", ending.elapsed());
            exit(4);
        }
    }
    if !stays && part.end == End::Exit {
        exit(0);
    }
    drop(env);
    if stays {
        println!("done");
    }
}

/// Gives up when what was begun does not end, whatever thread it hangs on.
fn watch(journal: &Arc<Journal>) -> Arc<AtomicBool> {
    let done = Arc::new(AtomicBool::new(false));
    let (is_done, journal) = (Arc::clone(&done), Arc::clone(journal));
    std::thread::spawn(move || {
        std::thread::sleep(LIMIT);
        if !is_done.load(Ordering::Relaxed) {
            journal.write("process", &What::Stuck);
            exit(3);
        }
    });
    done
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        0 => Builder::new_current_thread(),
        n => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(n);
            builder
        }
    };
    builder.enable_all().build().unwrap()
}

/// What we are told. Without anybody to tell us, there is nothing left to do.
fn hear() -> mpsc::Receiver<String> {
    let (told, orders) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let _ = told.send(line);
        }
        exit(0);
    });
    orders
}

/// What a body says that panics because its plan says so.
const PLANNED: &str = "a planned panic";

fn silence_planned_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&PLANNED) {
            others(info);
        }
    }));
}
