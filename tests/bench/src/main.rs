//! One side of the benchmark: somebody's locks under one workload; prints a line of JSON.
//!
//! `dlock-bench --who dlock --url postgres://… --workload w1 --seconds 2`

mod args;
mod clock;
mod locks;
mod server;
mod who;
mod work;

use tokio::runtime::Builder;

use crate::args::Args;

fn main() {
    let args = Args::read();
    // One thread for the program, as it has one core; tasks that hold a lock block it in w3.
    let mut builder = match args.threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(args.threads).enable_all().build().unwrap();
    let line = who::run(&args, &runtime);
    println!("{line}");
    // Connections of others' pools are not worth a goodbye.
    std::process::exit(0);
}
