//! That what was given out is not forgotten.

use std::time::Duration;

use dlock::{Locker, Severity};
use dlock_tests::{Backend, Server, Site, in_time};

const LONG: Duration = Duration::from_secs(30);

/// Also where the server was told not to wait for its disk: that is not for us.
pub(crate) async fn of_the_server_repeats_no_token(site: Site) {
    let postgres = site.backend.is_some_and(Backend::is_postgres);
    let lazy: &[&str] = if postgres {
        // As seldom as can be.
        &["synchronous_commit=off", "wal_writer_delay=10s", "wal_writer_flush_after=1GB"]
    } else {
        &[]
    };
    let Some(server) = Server::like(&site, lazy) else { return };
    let mut last = 0;
    for _ in 0..3 {
        let locker = Locker::connect(server.url()).await.unwrap();
        let lock = locker.lock("k").fenced().timeout(LONG);
        for _ in 0..50 {
            let guard = in_time("a grant", LONG, lock.acquire()).await.unwrap();
            let token = guard.fence().unwrap();
            assert!(token > last, "{token} after {last}");
            last = token;
            guard.release().await.unwrap();
        }
        server.kill();
        server.start_after_crash();
        drop(locker);
    }
}

/// There, how soon a commit is on disk is the server's to say.
pub(crate) async fn lazy_server_is_noted(site: Site) {
    let Some(server) = Server::like(&site, &["innodb_flush_log_at_trx_commit=2"]) else { return };
    let report = Locker::connect(server.url()).await.unwrap().check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    let about = |what: &str| what.contains("innodb_flush_log_at_trx_commit is 2");
    let note = report.findings.iter().find(|finding| about(&finding.what));
    assert!(note.is_some_and(|note| note.severity == Severity::Note), "{report}");
    assert!(!site.locker().await.check().await.unwrap().findings.iter().any(|f| about(&f.what)));
}
