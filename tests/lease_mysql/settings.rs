//! What a server is set to.

use std::time::Duration;

use dlock::{LeaseOptions, Locker};
use dlock_tests::Site;

use crate::{Raw, server};

const MS: Duration = Duration::from_millis(1);

/// Locks exclude, are renewed and end in time on this server.
async fn works(url: &str) {
    let lease = || LeaseOptions::new().ttl(600 * MS);
    let locker = async || Locker::builder(url).lease(lease()).connect().await.unwrap();
    let (one, two) = (locker().await, locker().await);
    let guard = one.lock("it's é \\").acquire().await.unwrap();
    let late = two.lock("it's é \\").timeout(1500 * MS).acquire().await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    for fence in 2..20 {
        let locker = if fence % 2 == 0 { &one } else { &two };
        let guard = locker.lock("it's é \\").try_acquire().await.unwrap().unwrap();
        assert_eq!(guard.fence(), Some(fence));
        guard.release().await.unwrap();
    }
    let brief = one.lock("brief").auto_renew(false).acquire().await.unwrap();
    let guard = two.lock("brief").acquire().await.expect("it has run out");
    assert!(brief.is_lost());
    assert_eq!(guard.fence(), Some(2));
    let status = one.status().await.unwrap();
    assert_eq!(status.len(), 1, "{status:?}");
    assert!(status[0].holders[0].since.unwrap() < Duration::from_secs(60), "{status:?}");
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
    let locker = Locker::connect(&format!("lease+{}", server.url())).await.unwrap();
    let report = locker.check().await.unwrap();
    assert!(!report.is_ok() && report.to_string().contains("at_trx_commit is 2"), "{report}");
    Raw::to(server.url()).await.run("SET GLOBAL innodb_flush_log_at_trx_commit=1").await;
    let report = locker.check().await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
}
