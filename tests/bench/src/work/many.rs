//! W6: many keys held at once.

use tokio::task::JoinSet;

use crate::args::Args;
use crate::clock::now;
use crate::locks::Locks;
use crate::server::Server;

pub async fn run<L: Locks>(args: &Args) -> String {
    let mut server = Server::at(&args.url).await;
    let before = server.connections().await;
    let locks = L::connect(args).await;
    let warm = locks.acquire("bench:many:warm", None).await.unwrap();
    locks.release(warm).await;
    let begun = now();
    let mut taking = JoinSet::new();
    for i in 0..args.tasks {
        let locks = locks.clone();
        taking.spawn(async move { locks.acquire(&format!("bench:many:{i}"), None).await.unwrap() });
    }
    let held = taking.join_all().await;
    let acquired = now();
    let connections = server.connections().await - before;
    let releasing = now();
    let mut giving = JoinSet::new();
    for held in held {
        let locks = locks.clone();
        giving.spawn(async move { locks.release(held).await });
    }
    giving.join_all().await;
    let released = now();
    format!(
        r#"{{"keys":{},"acquire_all_ms":{:.2},"release_all_ms":{:.2},"connections":{connections}}}"#,
        args.tasks,
        (acquired - begun) as f64 / 1e6,
        (released - releasing) as f64 / 1e6
    )
}
