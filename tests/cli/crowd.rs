//! Many at once.

use std::fs;

use dlock_tests::{Site, Temp};

use crate::Cli;

pub(crate) async fn fifty_processes_lose_no_update(site: Site) {
    let folder = Temp::new();
    let counter = folder.file("counter");
    fs::write(&counter, "0\n").unwrap();
    let file = counter.display();
    let script = format!("n=$(cat {file}); echo $((n + 1)) > {file}");
    let cli = Cli::on(&site);
    // As many at once as a small server has room for.
    for _ in 0..5 {
        let crowd: Vec<_> =
            (0..10).map(|_| cli.start(["run", "count", "--", "sh", "-c", &script])).collect();
        for running in crowd {
            let outcome = tokio::task::block_in_place(|| running.outcome());
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
        }
    }
    assert_eq!(fs::read_to_string(&counter).unwrap(), "50\n");
}
