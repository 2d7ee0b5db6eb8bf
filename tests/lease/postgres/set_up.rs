//! What is wrong with a set-up, and what is not.

use std::error::Error as _;
use std::time::{Duration, Instant};

use dlock::{Error, Locker, Severity};
use dlock_tests::{Backend, Server, Site, unique};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};

use super::corner::{Corner, plain};

pub(crate) async fn is_in_order(site: Site) {
    let corner = Corner::new(&site).await;
    let report = corner.locker().await.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    // The tests' servers are in a hurry.
    assert!(report.to_string().contains("fsync is off"), "{report}");
    corner.drop().await;
}

pub(crate) async fn of_a_weak_kind_is_told(site: Site) {
    let mut corner = Corner::new(&site).await;
    let role = corner.role(&["synchronous_commit = off"]).await;
    corner.run("GRANT USAGE, CREATE ON SCHEMA {schema} TO PUBLIC").await;
    let locker = role.builder().lease_options(corner.options()).connect().await.unwrap();
    let report = locker.check().await.unwrap();
    assert!(report.to_string().contains("synchronous_commit is off"), "{report}");
    assert!(report.is_ok(), "{report}");
    for (sql, says) in [
        ("ALTER TABLE {table} SET UNLOGGED", "unlogged"),
        (
            "CREATE COLLATION {schema}.loose (provider = icu, locale = 'und-u-ks-level1', \
             deterministic = false); ALTER TABLE {table} SET LOGGED, \
             ALTER COLUMN name TYPE text COLLATE {schema}.loose",
            "collation",
        ),
    ] {
        corner.run(sql).await;
        let report = locker.check().await.unwrap();
        let found = report.findings.iter().find(|finding| finding.what.contains(says));
        assert_eq!(found.expect(says).severity, Severity::Problem, "{report}");
    }
    locker.close().await;
    corner.drop().await;
}

pub(crate) async fn standby_is_refused(site: Site) {
    let Some(server) = Server::start(Backend::Postgres, &[]) else { return };
    let Some(standby) = server.beside("standby", &[]) else { return };
    let url = format!("lease+{}", standby.url());
    let error = site.through(&url).builder().connect().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("connect to the primary"), "{error}");

    // Of several hosts it is passed over, wherever it stands.
    let host = |server: &Server| {
        let (_, rest) = server.url().split_once('@').unwrap();
        rest.split_once('/').unwrap().0.to_owned()
    };
    let (primary, standby) = (host(&server), host(&standby));
    for hosts in [[&standby, &primary], [&primary, &standby]] {
        let url = format!("lease+postgres://dlock@{},{}/dlock", hosts[0], hosts[1]);
        let locker = site.through(&url).locker().await;
        drop(locker.lock("k").acquire().await.unwrap());
        let report = locker.check().await.unwrap();
        let asynchronous = report.findings.iter().find(|f| f.what.contains("synchronous"));
        assert_eq!(asynchronous.unwrap().severity, Severity::Problem);
        locker.close().await;
    }
    let two = format!("lease+postgres://dlock@{standby},{standby}/dlock");
    let error = site.through(&two).builder().connect().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

pub(crate) async fn pool_is_left_to_the_application(site: Site) {
    let corner = Corner::new(&site).await;
    let pool = PgPoolOptions::new().max_connections(1).connect(plain(&site.url)).await.unwrap();
    let _used = pool.acquire().await.unwrap();
    let builder = Locker::from_pool(&pool).use_leases().lease_options(corner.options());
    let locker = builder.namespace(&site.namespace).connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    let rival = corner.locker().await;
    assert!(rival.lock("k").try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    corner.drop().await;
}

/// What the pool does to its connections is done to the locker's: where the table is, say.
pub(crate) async fn after_connect_of_the_pool_is_run(site: Site) {
    let mut corner = Corner::new(&site).await;
    let role = format!("{}_other", corner.schema);
    corner.run(&format!("CREATE ROLE {role}; GRANT ALL ON SCHEMA {{schema}} TO {role}")).await;
    let set = format!("SET search_path TO {}; SET ROLE {role}", corner.schema);
    let pool = PgPoolOptions::new().max_connections(1).after_connect(move |conn, _| {
        let set = sqlx::raw_sql(sqlx::AssertSqlSafe(set.clone()));
        Box::pin(async move { set.execute(conn).await.map(drop) })
    });
    let pool = pool.connect(plain(&site.url)).await.unwrap();
    site.leave_two_tokens(|| Locker::from_pool(&pool)).await;
    assert_eq!(corner.text("SELECT count(*)::text FROM {table}").await, "2");
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE oid = '{table}'::regclass";
    assert_eq!(corner.text(owner).await, role);
    corner.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    corner.drop().await;
}

/// One that fails is no reason to hang, nor for dlock to do without.
pub(crate) async fn after_connect_that_fails_is_told(site: Site) {
    let options: PgConnectOptions = plain(&site.url).parse().unwrap();
    let pool = PgPoolOptions::new().after_connect(|conn, _| {
        Box::pin(async { sqlx::raw_sql("SELECT 1/0").execute(conn).await.map(drop) })
    });
    let pool = pool.connect_lazy_with(options);
    for builder in [Locker::from_pool(&pool).use_leases(), Locker::from_pool(&pool)] {
        let start = Instant::now();
        let error = builder.connect().await.unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains("after_connect"), "{cause}");
    }
}

/// A schema may be called anything.
pub(crate) async fn schema_of_any_name(site: Site) {
    let schema = format!("{} we\"ird 'x", unique("s"));
    let quoted = schema.replace('"', "\"\"");
    let mut raw = PgConnection::connect(plain(&site.url)).await.unwrap();
    let run = |sql: String| sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
    run(format!("CREATE SCHEMA \"{quoted}\"")).execute(&mut raw).await.unwrap();
    let options: PgConnectOptions = plain(&site.url).parse().unwrap();
    let options = options.options([("search_path", format!("\"{quoted}\""))]);
    let pool = PgPoolOptions::new().connect_lazy_with(options);
    for leases in [true, false] {
        let builder = Locker::from_pool(&pool).namespace(&site.namespace);
        let builder = if leases { builder.use_leases() } else { builder };
        let locker = builder.connect().await.unwrap();
        let guard = locker.lock("k").fenced().acquire().await.unwrap();
        assert!(guard.fence().is_some());
        guard.verify().await.unwrap();
        locker.check().await.unwrap();
        guard.release().await.unwrap();
    }
    let count = format!("SELECT 1 FROM \"{quoted}\".dlock_leases");
    assert_eq!(run(count).fetch_all(&mut raw).await.unwrap().len(), 2);
    run(format!("DROP SCHEMA \"{quoted}\" CASCADE")).execute(&mut raw).await.unwrap();
}
