//! A pooler in front of the server, and a standby behind it.

use std::time::Duration;

use dlock::{Error, on, within};
use dlock_tests::{Server, Site};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::task::JoinSet;

use super::connect;
use crate::db::{number, run};

pub(crate) async fn client(url: &str) -> PgConnection {
    let options = url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None);
    options.statement_cache_capacity(0).connect().await.unwrap()
}

/// In transaction mode a transaction has its server process for itself.
pub(crate) async fn transactions_lock_through_it(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let settings = ["pool_mode=transaction", "default_pool_size=3"];
    let Some(pooler) = server.beside("pgbouncer", &settings) else { return };
    let mut direct = PgConnection::connect(server.url()).await.unwrap();
    run(&mut direct, "CREATE TABLE counter AS SELECT 0::int8 AS n").await;
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let mut client = client(pooler.url()).await;
        tasks.spawn(async move {
            for round in 0..20 {
                run(&mut client, "BEGIN").await;
                within(&mut client).lock("counter").acquire().await.unwrap();
                // Without the lock, some of these would be lost.
                let n = number(&mut client, "SELECT n FROM counter").await;
                run(&mut client, &format!("UPDATE counter SET n = {}", n + 1)).await;
                let mine = within(&mut client).lock("busy").timeout(Duration::from_millis(1));
                if let Err(error) = mine.acquire().await {
                    assert!(error.is_timeout(), "{error:?}");
                }
                run(&mut client, if round % 5 == 4 { "ROLLBACK" } else { "COMMIT" }).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(number(&mut direct, "SELECT n FROM counter").await, 6 * 16);
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(number(&mut direct, held).await, 0);
}

/// Its time limits are not those of the next client that gets the same server process.
pub(crate) async fn settings_stay_with_their_client(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let settings = ["pool_mode=transaction", "default_pool_size=1"];
    let Some(pooler) = server.beside("pgbouncer", &settings) else { return };
    let mut direct = PgConnection::connect(server.url()).await.unwrap();
    let mut held = on(&mut direct).lock("k");
    held.acquire().await.unwrap();
    let (mut one, mut two) = (client(pooler.url()).await, client(pooler.url()).await);
    let settings = "SELECT count(*) FROM pg_settings WHERE source = 'session' \
        AND name IN ('lock_timeout', 'statement_timeout', 'client_connection_check_interval')";
    for end in ["COMMIT", "ROLLBACK"] {
        run(&mut one, "BEGIN").await;
        let busy = within(&mut one).lock("k").timeout(Duration::from_millis(30)).acquire().await;
        assert!(busy.unwrap_err().is_timeout());
        within(&mut one).lock("another").acquire().await.unwrap();
        run(&mut one, end).await;
        assert_eq!(number(&mut two, settings).await, 0);
    }
    assert!(held.release().await.unwrap());
}

/// It grants the very locks that its primary holds.
pub(crate) async fn standby_is_refused(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let Some(standby) = server.beside("standby", &[]) else { return };
    let mut conn = connect(&site.through(standby.url())).await;
    for wait in [Duration::ZERO, Duration::from_secs(1)] {
        let error = on(&mut conn).lock("k").timeout(wait).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains("connect to the primary"), "{error}");
        run(&mut conn, "BEGIN").await;
        let error = within(&mut conn).lock("k").timeout(wait).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        let error = on(&mut conn).lock("k").timeout(wait).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        run(&mut conn, "ROLLBACK").await;
    }
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(number(&mut conn, held).await, 0);
}
