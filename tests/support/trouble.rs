//! What a taker does to itself while it holds a key.

use std::time::Duration;

use fork::Fork;
use rustix::process::{Signal, getpid, kill_process};

use super::Orders;

/// Does what it is told.
pub(crate) async fn ordered(mut orders: Orders) {
    while let Some(order) = orders.recv().await {
        match order.as_str() {
            "fork" => fork(),
            "eat" => drop(std::thread::spawn(eat)),
            other => panic!("told {other:?}"),
        }
    }
}

/// The child has copies of all connections. It does nothing, and lives until the test ends its input.
fn fork() {
    match fork::fork().unwrap() {
        Fork::Parent(_) => println!("forked"),
        Fork::Child => {
            // By hand: another thread of the parent had the lock of the input, which nobody here gives back.
            while rustix::io::read(std::io::stdin(), &mut [0]).is_ok_and(|read| read > 0) {}
            kill_process(getpid(), Signal::KILL).unwrap();
        }
    }
}

/// Takes memory until there is none.
fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
        std::thread::sleep(Duration::from_millis(1));
    }
}
