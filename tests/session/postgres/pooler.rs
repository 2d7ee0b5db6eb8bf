//! A pooler in front of the server, and a standby behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dlock::{Error, Locker};
use dlock_tests::{Server, Site};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, Row as _};

/// A server, and a pgbouncer with these settings in front of it.
fn pooled(site: &Site, settings: &[&str]) -> Option<(Server, Server)> {
    let server = Server::like(site, &[])?;
    let pooler = server.beside("pgbouncer", settings)?;
    Some((server, pooler))
}

async fn client(url: &str) -> PgConnection {
    url.parse::<PgConnectOptions>().unwrap().extra_float_digits(None).connect().await.unwrap()
}

async fn refusal(url: &str) -> String {
    let error = Locker::connect(url).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    let text = error.to_string();
    for word in ["pooler", "connect directly to the server", "lease+postgres://"] {
        assert!(text.contains(word), "{text}");
    }
    text
}

/// Every setting of the session that a client gets from the pooler.
async fn settings(client: &mut PgConnection) -> Vec<(String, String)> {
    let sql = "SELECT name, setting FROM pg_settings ORDER BY name";
    let rows = sqlx::raw_sql(sql).fetch_all(client).await.unwrap();
    // What sqlx says of itself at a connect is kept apart for each client.
    rows.iter()
        .map(|row| (row.get(0), row.get(1)))
        .filter(|(n, _)| n != "application_name")
        .collect()
}

pub(crate) async fn in_transaction_mode_is_refused_and_leaks_nothing(site: Site) {
    for mode in ["transaction", "statement"] {
        let mode = format!("pool_mode={mode}");
        // All clients have the same one connection.
        let Some((_server, pooler)) = pooled(&site, &[&mode, "default_pool_size=1"]) else {
            return;
        };
        let mut other = client(pooler.url()).await;
        let before = settings(&mut other).await;
        assert!(before.len() > 100);
        let text = refusal(pooler.url()).await;
        assert!(text.contains("share one server process"), "{text}");
        assert_eq!(settings(&mut other).await, before);
        assert_eq!(settings(&mut client(pooler.url()).await).await, before);
    }
}

/// Then each statement gets the connection that happens to be free.
pub(crate) async fn in_transaction_mode_is_refused_under_load(site: Site) {
    let Some((_server, pooler)) = pooled(&site, &["default_pool_size=3"]) else { return };
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (mut client, stop) = (client(pooler.url()).await, Arc::clone(&stop));
        load.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                sqlx::raw_sql("SELECT pg_sleep(0.0005)").execute(&mut client).await.unwrap();
            }
        });
    }
    let mut several = 0;
    for _ in 0..20 {
        several += u32::from(refusal(pooler.url()).await.contains("several processes"));
    }
    println!("{several} of 20 by statements that went to several processes");
    assert!(several > 0, "the load was none");
    stop.store(true, Ordering::Relaxed);
    load.join_all().await;
}

/// There a client has its server process for itself.
pub(crate) async fn in_session_mode_works(site: Site) {
    // It does not even know the setting that sqlx begins with.
    let settings = ["pool_mode=session", "ignore_startup_parameters="];
    let Some((server, pooler)) = pooled(&site, &settings) else { return };
    let through = Site::at(pooler.url());
    let ours = through.locker().await;
    let direct = through.named("direct").through(server.url()).locker().await;
    let guard = ours.lock("k").acquire().await.unwrap();
    assert!(direct.lock("k").try_acquire().await.unwrap().is_none());
    guard.verify().await.unwrap();
    let waiting = tokio::spawn(async move { direct.lock("k").acquire().await.unwrap() });
    guard.release().await.unwrap();
    let held = waiting.await.unwrap();
    assert!(ours.lock("k").shared().try_acquire().await.unwrap().is_none());
    held.release().await.unwrap();
    assert!(ours.check().await.unwrap().is_ok());
    ours.close().await;
}

/// A setting in the url that the pooler does not let pass.
pub(crate) async fn that_refuses_a_parameter_is_named(site: Site) {
    let settings = ["pool_mode=session", "ignore_startup_parameters="];
    let Some((_server, pooler)) = pooled(&site, &settings) else { return };
    let text = refusal(&format!("{}?options=-c%20geqo%3Doff", pooler.url())).await;
    assert!(text.contains("startup parameter"), "{text}");
}

pub(crate) async fn standby_is_refused(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let Some(standby) = server.beside("standby", &[]) else { return };
    let error = Locker::connect(standby.url()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("standby"), "{error}");
    assert!(error.to_string().contains("connect to the primary"), "{error}");
    Locker::connect(server.url()).await.unwrap().close().await;
}
