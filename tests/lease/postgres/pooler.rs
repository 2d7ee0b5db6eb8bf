//! A pooler that gives each transaction the connection that happens to be free.

use std::time::Duration;

use dlock_tests::{Backend, Server, Site};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};
use tokio::task::JoinSet;

fn pooled(settings: &[&str]) -> Option<(Server, Server)> {
    let server = Server::start(Backend::Postgres, &["max_prepared_transactions=0"])?;
    let pooler = server.beside("pgbouncer", settings)?;
    Some((server, pooler))
}

fn at(server: &Server) -> Site {
    Site::at(&format!("lease+{}", server.url()))
}

pub(crate) async fn in_transaction_mode_is_no_obstacle(_: Site) {
    // It keeps no prepared statements either, as the older ones.
    let settings = ["default_pool_size=2", "max_prepared_statements=0"];
    let Some((server, pooler)) = pooled(&settings) else { return };
    let site = at(&pooler).ttl(Duration::from_secs(2));
    let direct = site.through(&at(&server).url).locker().await;
    let mut fights = JoinSet::new();
    for _ in 0..6 {
        let locker = site.locker().await;
        fights.spawn(async move {
            let mut fences = Vec::new();
            for turn in 0..40 {
                let guard = locker.lock("k").acquire().await.unwrap();
                fences.push(guard.fence().unwrap());
                if turn == 0 {
                    // Renewed meanwhile.
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    guard.verify().await.unwrap();
                }
                guard.release().await.unwrap();
            }
            locker.close().await;
            fences
        });
    }
    let mut fences = fights.join_all().await.concat();
    fences.sort_unstable();
    assert_eq!(fences.len(), 240);
    fences.dedup();
    assert_eq!(fences.len(), 240, "a token for each grant");

    let ours = site.locker().await;
    let guard = ours.lock("k").acquire().await.unwrap();
    assert!(direct.lock("k").try_acquire().await.unwrap().is_none());
    let report = ours.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    assert_eq!(ours.status().await.unwrap().len(), 1);
    guard.release().await.unwrap();
}

/// Every setting of the connection that a client gets from the pooler.
async fn settings(url: &str) -> Vec<(String, String)> {
    let options = url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
    let mut client: PgConnection = options.connect().await.unwrap();
    let sql = "SELECT name, setting FROM pg_settings ORDER BY name";
    let rows = sqlx::raw_sql(sql).fetch_all(&mut client).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1)))
        .filter(|(name, _): &(String, String)| name != "application_name")
        .collect()
}

pub(crate) async fn before_each_statement_leaks_nothing(_: Site) {
    for mode in ["pool_mode=transaction", "pool_mode=statement"] {
        let Some((_server, pooler)) = pooled(&[mode, "default_pool_size=1"]) else { return };
        let before = settings(pooler.url()).await;
        assert!(before.len() > 100);
        let locker = at(&pooler).locker().await;
        let guard = locker.lock("k").acquire().await.unwrap();
        assert_eq!(settings(pooler.url()).await, before);
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
        locker.check().await.unwrap();
        assert_eq!(settings(pooler.url()).await, before);
    }
}
