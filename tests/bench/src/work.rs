//! The workloads.

mod attribute;
mod crowd;
mod handoff;
mod idle;
mod inside;
mod many;
mod timeouts;
mod uncontended;
mod waiting;

use crate::args::Args;
use crate::locks::Locks;

pub use self::uncontended::blocking;

pub async fn run<L: Locks>(args: &Args) -> String {
    match &*args.workload {
        "w1" | "w2" => uncontended::run::<L>(args).await,
        "w3" => handoff::run::<L>(args).await,
        "w4" => waiting::run::<L>(args).await,
        "w5" => timeouts::run::<L>(args).await,
        "w6" => many::run::<L>(args).await,
        "w7" => crowd::run::<L>(args).await,
        // Ours alone.
        "w8" => attribute::run(args).await,
        "w10" => inside::run(args).await,
        "idle" => idle::run(args).await,
        other => panic!("there is no workload {other}"),
    }
}
