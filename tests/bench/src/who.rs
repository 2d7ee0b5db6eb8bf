//! Whose locks there are.

mod distributed;
mod ours;
mod raw;
mod redis;
mod sqlx_lock;

use tokio::runtime::Runtime;

pub use self::ours::Ours;
use crate::args::Args;
use crate::work;

pub fn run(args: &Args, runtime: &Runtime) -> String {
    if args.who == "dlock-sync" {
        return work::blocking(args, Ours::connect_blocking(args));
    }
    runtime.block_on(async {
        match &*args.who {
            "dlock" | "dlock-here" => work::run::<Ours>(args).await,
            "raw" => work::run::<raw::Raw>(args).await,
            "sqlx" => work::run::<sqlx_lock::Sqlx>(args).await,
            "rslock" => work::run::<redis::Rslock>(args).await,
            "distributed-lock" => work::run::<distributed::Distributed>(args).await,
            other => panic!("nobody is called {other}"),
        }
    })
}
