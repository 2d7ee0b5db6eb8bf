//! What `Locker::check` finds.

use std::time::Duration;

use dlock::{Error, Locker, Report, Severity};
use dlock_tests::{Server, Site, Witness, eventually_async};
use sqlx::{Connection as _, PgConnection};

const LIMIT: Duration = Duration::from_secs(20);

fn has(report: &Report, severity: Severity, what: &str) -> bool {
    report.findings.iter().any(|f| f.severity == severity && f.what.contains(what))
}

pub(crate) async fn is_in_order(site: Site) {
    let locker = site.locker().await;
    let report = locker.check().await.unwrap();
    assert_eq!(report.findings, [], "{report}");
}

pub(crate) async fn full_lock_table_is_a_problem(site: Site) {
    // A table for 400 locks.
    let settings = ["max_locks_per_transaction=10", "max_connections=40"];
    let Some(server) = Server::like(&site, &settings) else { return };
    let locker = Locker::connect(server.url()).await.unwrap();
    let mut witness = Witness::at(server.url()).await;
    assert!(locker.check().await.unwrap().findings.is_empty());
    witness.run("SELECT pg_advisory_lock(k) FROM generate_series(1, 210) k").await;
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    // And a few of the server's own.
    assert!(has(&report, Severity::Note, "lock table has 21"), "{report}");
    assert!(has(&report, Severity::Note, "locks and is made for 400"), "{report}");
    witness.run("SELECT pg_advisory_lock(k, 0) FROM generate_series(1, 115) k").await;
    let report = locker.check().await.unwrap();
    assert!(!report.is_ok(), "{report}");
    assert!(has(&report, Severity::Problem, "lock table has 32"), "{report}");
    assert!(report.to_string().contains("max_locks_per_transaction"), "{report}");
}

pub(crate) async fn few_connections_left_are_told(site: Site) {
    let settings = ["max_connections=30", "superuser_reserved_connections=2"];
    let Some(server) = Server::like(&site, &settings) else { return };
    let locker = Locker::connect(server.url()).await.unwrap();
    let mut others = Vec::new();
    let mut more = async |n: usize| {
        while others.len() < n {
            others.push(PgConnection::connect(server.url()).await.unwrap());
        }
    };
    more(10).await;
    assert!(locker.check().await.unwrap().findings.is_empty());
    more(23).await;
    let report = locker.check().await.unwrap();
    assert!(report.is_ok() && has(&report, Severity::Note, "of the server's 28"), "{report}");
    more(26).await;
    let report = locker.check().await.unwrap();
    assert!(has(&report, Severity::Problem, "of the server's 28 connections"), "{report}");
}

/// They are for other sessions; ours do without them.
pub(crate) async fn timeouts_of_the_role_are_noted(site: Site) {
    let role = site.name.replace('-', "_");
    let mut witness = Witness::at(&site.url).await;
    witness.run(&format!("CREATE ROLE {role} LOGIN")).await;
    for setting in ["statement_timeout = '250ms'", "idle_session_timeout = '1min'"] {
        witness.run(&format!("ALTER ROLE {role} SET {setting}")).await;
    }
    let (_, rest) = site.url.rsplit_once('@').unwrap();
    let locker = site.through(&format!("postgres://{role}@{rest}")).locker().await;
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.findings.len(), 2, "{report}");
    assert!(has(&report, Severity::Note, "statement_timeout is 250 ms"), "{report}");
    assert!(has(&report, Severity::Note, "idle_session_timeout is 60000 ms"), "{report}");
    locker.close().await;
    witness.run(&format!("DROP ROLE {role}")).await;
}

/// A server that lets in only who encrypts says so, and so does one that cannot.
pub(crate) async fn encryption_that_one_side_lacks_is_told(site: Site) {
    let asked = format!("{}?sslmode=require", site.url);
    let error = Locker::connect(&asked).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }) && !error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("the server has none; set up TLS there"), "{error}");

    let Some(server) = Server::like(&site, &[]) else { return };
    let mut witness = Witness::at(server.url()).await;
    let certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 \
                       -keyout server.key -out server.crt";
    let rules =
        "printf ''hostssl all secured all trust\\nhost all dlock all trust\\n'' > pg_hba.conf";
    witness.run(&format!("COPY (SELECT WHERE false) TO PROGRAM '{certificate}'")).await;
    witness.run(&format!("COPY (SELECT WHERE false) TO PROGRAM '{rules}'")).await;
    for statement in
        ["CREATE ROLE secured LOGIN", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"]
    {
        witness.run(statement).await;
    }
    let secured = server.url().replace("//dlock@", "//secured@");
    let encrypted = format!("{secured}?sslmode=require");
    // It reads its settings in its own time.
    eventually_async("it encrypts", LIMIT, async || Locker::connect(&encrypted).await.is_ok())
        .await;
    let error = Locker::connect(&format!("{secured}?sslmode=disable")).await.unwrap_err();
    assert!(matches!(error, Error::Permission { .. }) && !error.is_retryable(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("takes no unencrypted connection") && text.contains("tls-rustls"),
        "{text}"
    );
}
