//! Where leases are kept.

use std::time::Duration;

use dlock::{Error, LeaseOptions, Locker};
use dlock_tests::{Site, in_time, unique};
use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};

use super::{Raw, server};

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

pub(crate) async fn without_a_database_is_refused(site: Site) {
    let (base, rest) = site.url.rsplit_once('/').unwrap();
    let (database, options) = rest.split_once('?').unwrap_or((rest, ""));
    for url in [format!("{base}/?{options}"), format!("{base}?{options}")] {
        let error = Locker::connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert!(error.to_string().contains("no database"), "{error}");
        let database = database.replace('-', "_");
        Raw::to(&site.url).await.run(&format!("CREATE DATABASE {database}")).await;
        let table = LeaseOptions::new().table(format!("{database}.t"));
        let locker = Locker::builder(&url).lease_options(table).connect().await.unwrap();
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
        locker.close().await;
        Raw::to(&site.url).await.run(&format!("DROP DATABASE {database}")).await;
    }
}

pub(crate) async fn of_a_pool(site: Site) {
    let url = site.url.strip_prefix("lease+").unwrap();
    let options: MySqlConnectOptions = url.parse().unwrap();
    let pool = MySqlPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let used = pool.acquire().await.unwrap();
    let builder = Locker::from_pool(&pool).use_leases().namespace(&site.namespace);
    let locker = builder.connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    assert!(site.locker().await.lock("k").try_acquire().await.unwrap().is_none());
    assert_eq!((pool.size(), pool.num_idle()), (1, 0));
    drop(used);
    pool.close().await;
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
}

/// What the pool does to its connections is done to the locker's: where the table is, say.
pub(crate) async fn of_a_pool_with_after_connect(site: Site) {
    let url = site.url.strip_prefix("lease+").unwrap();
    let options: MySqlConnectOptions = url.parse().unwrap();
    let database = unique("dlock_other").replace('-', "_");
    let mut raw = Raw::to(&site.url).await;
    raw.run(&format!("CREATE DATABASE {database}")).await;
    let to = format!("USE {database}");
    let pool = MySqlPoolOptions::new().max_connections(1).after_connect(move |conn, _| {
        let to = sqlx::raw_sql(AssertSqlSafe(to.clone()));
        Box::pin(async move { to.execute(conn).await.map(drop) })
    });
    let pool = pool.connect_with(options).await.unwrap();
    site.leave_two_tokens(|| Locker::from_pool(&pool)).await;
    let rows = raw.row(&format!("SELECT COUNT(*) FROM {database}.dlock_leases")).await;
    assert_eq!(rows[0].as_deref(), Some("2"));
    raw.run(&format!("DROP DATABASE {database}")).await;
}

/// One that is away and one that is read-only are passed over; when the one that is left goes, so
/// does the next question, to the one that can be written by then.
pub(crate) async fn of_several_hosts(site: Site) {
    let (Some(one), Some(two)) = (server(&site, &[]), server(&site, &["read_only=ON"])) else {
        return;
    };
    let host = |url: &str| url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let options = one.url().split_once('?').map_or("", |(_, options)| options);
    let hosts = format!("127.0.0.1:1,{},{}", host(two.url()), host(one.url()));
    let url = format!("lease+mysql://root@{hosts}/test?{options}");
    let locker = Locker::connect(&url).await.unwrap();
    let other = Locker::connect(&format!("lease+{}", one.url())).await.unwrap();
    let guard = other.lock("k").acquire().await.unwrap();
    assert!(locker.lock("k").try_acquire().await.unwrap().is_none(), "both are on the first");
    let error = Locker::connect(&format!("lease+{}", two.url())).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");

    one.kill();
    Raw::to(two.url()).await.run("SET GLOBAL read_only=OFF").await;
    let lock = locker.lock("k").timeout(SOON);
    let taken = in_time("it goes on at the other", SOON, lock.acquire()).await.unwrap();
    taken.verify().await.unwrap();
    drop(guard);
}

/// A host that says nothing hides none of those after it.
pub(crate) async fn of_which_three_are_silent(site: Site) {
    let silent = [0; 3].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = silent.each_ref().map(|host| host.local_addr().unwrap().port());
    let [one, two, three] = ports.map(|port| format!("127.0.0.1:{port}"));
    let (user, host) = site.url.split_once('@').unwrap();
    for hosts in [format!("{one},{two},{three}"), one] {
        let url = format!("{user}@{hosts},{host}");
        let connect = Locker::builder(&url).timeout(Duration::from_secs(3)).connect();
        let locker = connect.await.unwrap();
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
}
