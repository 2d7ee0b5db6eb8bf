//! What a server is set to.

use std::time::Duration;

use dlock::{LeaseOptions, Locker};
use dlock_tests::Site;

use super::warnings::Warnings;
use super::{Raw, server};

const MS: Duration = Duration::from_millis(1);

/// Locks exclude, are renewed and end in time on this server.
async fn works(url: &str) {
    let lease = || LeaseOptions::new().ttl(600 * MS);
    let locker = async || Locker::builder(url).lease_options(lease()).connect().await.unwrap();
    let (one, two) = (locker().await, locker().await);
    let guard = one.lock("it's é \\").acquire().await.unwrap();
    let late = two.lock("it's é \\").timeout(1500 * MS).acquire().await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
    guard.verify().await.unwrap();
    let first = guard.fence().unwrap();
    guard.release().await.unwrap();
    for fence in 1..20 {
        let locker = if fence % 2 == 0 { &one } else { &two };
        let guard = locker.lock("it's é \\").try_acquire().await.unwrap().unwrap();
        assert_eq!(guard.fence(), Some(first + fence));
        guard.release().await.unwrap();
    }
    let brief = one.lock("brief").auto_renew(false).acquire().await.unwrap();
    let guard = two.lock("brief").acquire().await.expect("it has run out");
    assert!(brief.is_lost());
    assert_eq!(guard.fence(), brief.fence().map(|fence| fence + 1));
    let status = one.status().await.unwrap();
    assert_eq!(status.len(), 1, "{status:?}");
    assert!(status[0].holders[0].held_for.unwrap() < Duration::from_secs(60), "{status:?}");
    one.close().await;
    two.close().await;
}

pub(crate) async fn of_the_server_change_nothing(site: Site) {
    let settings = [
        "default_time_zone=+05:30",
        "sql_mode=ANSI,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,PIPES_AS_CONCAT",
        "transaction_isolation=SERIALIZABLE",
        "transaction_read_only=ON",
        "autocommit=0",
        "completion_type=RELEASE",
        "init_connect=SET SESSION sql_select_limit=0",
    ];
    let Some(server) = server(&site, &settings) else { return };
    works(&format!("lease+{}", server.url())).await;
}

/// There nothing can be written at READ COMMITTED.
pub(crate) async fn log_of_statements(site: Site) {
    let settings = ["log_bin=log", "server_id=1", "binlog_format=STATEMENT"];
    let Some(server) = server(&site, &settings) else { return };
    let url = format!("lease+{}", server.url());
    let format = Raw::to(&url).await.row("SELECT @@log_bin,@@binlog_format").await;
    assert_eq!(format, [Some("1".into()), Some("STATEMENT".into())]);
    works(&url).await;
}

pub(crate) async fn that_weaken_leases_are_found(site: Site) {
    let Some(server) = server(&site, &["innodb_flush_log_at_trx_commit=2"]) else { return };
    let warnings = Warnings::listen();
    let lazy = "innodb_flush_log_at_trx_commit is 2: after a crash";
    let locker = Locker::connect(&format!("lease+{}", server.url())).await.unwrap();
    let report = locker.check().await.unwrap();
    assert!(!report.is_ok() && report.to_string().contains("at_trx_commit is 2"), "{report}");
    // Users who do not ask are told as well, once: at the first token of a session lock.
    assert_eq!(warnings.about(lazy), 1);
    let sessions = Locker::connect(server.url()).await.unwrap();
    sessions.lock("k").acquire().await.unwrap().release().await.unwrap();
    assert_eq!(warnings.about(lazy), 1, "nothing is written for it");
    for _ in 0..2 {
        sessions.lock("k").fenced().acquire().await.unwrap().release().await.unwrap();
        assert_eq!(warnings.about(lazy), 2);
    }
    Raw::to(server.url()).await.run("SET GLOBAL innodb_flush_log_at_trx_commit=1").await;
    let report = locker.check().await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
    Locker::connect(&format!("lease+{}", server.url())).await.unwrap().close().await;
    assert_eq!(warnings.about(lazy), 2, "it is in order now");
}

/// A user with all rights could still write there, and another server is the primary.
pub(crate) async fn primary_that_becomes_read_only_is_given_up(site: Site) {
    let Some(server) = server(&site, &[]) else { return };
    let lease = LeaseOptions::new().ttl(3000 * MS);
    let url = format!("lease+{}", server.url());
    let locker = Locker::builder(&url).lease_options(lease).connect().await.unwrap();
    let mut raw = Raw::to(&url).await;
    let guard = locker.lock("held").acquire().await.unwrap();
    raw.run("SET GLOBAL read_only=ON").await;
    for round in 0..3 {
        let error = match round {
            0 => locker.lock("k").try_acquire().await.map(drop).unwrap_err(),
            1 => locker.lock_all(["k", "l"]).try_acquire().await.map(drop).unwrap_err(),
            _ => guard.verify().await.unwrap_err(),
        };
        assert!(error.is_retryable() || error.is_lost(), "{error}");
    }
    dlock_tests::in_time("the loss", Duration::from_secs(10), guard.lost()).await;
    assert_eq!(raw.number("SELECT COUNT(*) FROM dlock_leases").await, 1, "nothing was written");
    raw.run("SET GLOBAL read_only=OFF").await;
    let lock = locker.lock("k").timeout(Duration::from_secs(10));
    dlock_tests::eventually_async("it is back", Duration::from_secs(20), async || {
        lock.acquire().await.is_ok()
    })
    .await;
}

/// It may have handed over, and what it reads says nothing about the lease then: whoever asks gets the primary's answer.
pub(crate) async fn primary_that_is_read_only_for_a_moment_costs_no_lease(site: Site) {
    let Some(server) = server(&site, &[]) else { return };
    let lease = LeaseOptions::new().ttl(Duration::from_secs(60));
    let url = format!("lease+{}", server.url());
    let locker = Locker::builder(&url).lease_options(lease).connect().await.unwrap();
    let mut raw = Raw::to(&url).await;
    let guard = locker.lock("held").acquire().await.unwrap();
    raw.run("SET GLOBAL read_only=ON").await;
    let mut answer = Box::pin(guard.verify());
    let early = tokio::time::timeout(Duration::from_secs(1), &mut answer).await;
    assert!(early.is_err(), "{early:?} by a server that is read-only");
    raw.run("SET GLOBAL read_only=OFF").await;
    dlock_tests::in_time("the answer", Duration::from_secs(20), answer).await.unwrap();
    guard.release().await.unwrap();
}

/// Statements do not grow past what the server takes, nor past what it lets a statement look at.
pub(crate) async fn limits_of_the_server_are_kept(site: Site) {
    let Some(server) = server(&site, &["max_join_size=100", "max_allowed_packet=1024"]) else {
        return;
    };
    // Hundreds of statements, on a busy machine.
    let lease = LeaseOptions::new().ttl(Duration::from_secs(60));
    let url = format!("lease+{}", server.url());
    let locker = Locker::builder(&url).lease_options(lease).connect().await.unwrap();
    let mut taking = tokio::task::JoinSet::new();
    for key in 0..300 {
        let lock = locker.lock(key).timeout(Duration::from_secs(60));
        taking.spawn(async move { lock.acquire().await.unwrap() });
    }
    let guards = taking.join_all().await;
    for guard in &guards {
        assert!(!guard.is_lost());
    }
    guards[7].verify().await.unwrap();
    assert_eq!(locker.status().await.unwrap().len(), 300);
    for guard in guards {
        guard.release().await.unwrap();
    }
}
