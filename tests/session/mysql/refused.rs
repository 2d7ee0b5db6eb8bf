//! Servers and users whose locks would be of no use.

use std::error::Error as _;
use std::time::Duration;

use dlock::{Error, Locker};
use dlock_tests::{
    Backend, Server, Site, Witness, eventually_async, in_time, not_run, timeout_with_holder,
};

const SECRET: &str = "s3cr3t";

fn all_of(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(" {error} {error:?}"));
        source = error.source();
    }
    text
}

/// The address and what comes after it, without the user.
fn address(site: &Site) -> &str {
    site.url.rsplit_once('@').unwrap().1
}

pub(crate) async fn wrong_password_and_unknown_database(site: Site) {
    for user in ["app", "root", "nobody_of_that_name"] {
        let url = format!("mysql://{user}:{SECRET}@{}", address(&site));
        let error = Locker::connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Permission { .. }), "{error:?}");
        assert!(!all_of(&error).contains(SECRET), "{}", all_of(&error));
    }
    let (server, _) = site.url.rsplit_once('/').unwrap();
    let error = Locker::connect(&format!("{server}/no_such_database")).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error:?}");
    for url in [
        format!("mysql://user:{SECRET}@host:no-port/db"),
        format!("mariadb://user:{SECRET}@[::1/db"),
        format!("mysql://user:{SECRET}@host/db?ssl-mode=nonsense"),
    ] {
        let error = Locker::connect(&url).await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error:?}");
        assert!(!all_of(&error).contains(SECRET), "{}", all_of(&error));
    }
}

pub(crate) async fn user_without_a_right(site: Site) {
    let user = site.name.replace('-', "_");
    let mut witness = Witness::at(&site.url).await;
    witness.run(&format!("CREATE USER {user}@localhost IDENTIFIED BY '{SECRET}'")).await;
    let url = format!("mysql://{user}:{SECRET}@{}", address(&site));
    let error = Locker::connect(&url).await.unwrap_err();
    let Error::Permission { remedy, .. } = &error else { panic!("{error:?}") };
    assert!(remedy.contains("GRANT"), "{remedy}");
    assert!(!all_of(&error).contains(SECRET), "{}", all_of(&error));
    // Locks are no database's: without one, nothing has to be granted.
    let server = url.rsplit_once('/').unwrap().0;
    for url in [format!("{server}/"), server.to_owned()] {
        let locker = Locker::builder(&url).namespace(&site.namespace).connect().await.unwrap();
        let guard = locker.lock("k").acquire().await.unwrap();
        assert!(site.locker().await.lock("k").try_acquire().await.unwrap().is_none());
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
        locker.close().await;
    }
    witness.run(&format!("DROP USER {user}@localhost")).await;
}

pub(crate) async fn replica(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let site = Site::at(server.url());
    let locker = site.locker().await;
    let mut witness = Witness::at(server.url()).await;
    witness.run("SET GLOBAL read_only = ON").await;
    let error = Locker::connect(server.url()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("connect to the primary"), "{error}");
    witness.run("SET GLOBAL read_only = OFF").await;
    locker.lock("k").acquire().await.unwrap().release().await.unwrap();
}

/// A planned switch-over: the server stays, and another one is the primary.
pub(crate) async fn primary_that_becomes_read_only_is_given_up(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let site = Site::at(server.url());
    let locker = site.locker().await;
    let mut witness = Witness::at(server.url()).await;
    for asked in [false, true] {
        let guard = locker.lock("k").acquire().await.unwrap();
        witness.run("SET GLOBAL read_only = ON").await;
        if asked {
            // A try of another key is not granted, in whatever order they ask.
            let error = locker.lock("other").try_acquire().await.unwrap_err();
            assert!(
                matches!(error, Error::Unavailable { .. } | Error::Unsupported { .. }),
                "{error}"
            );
        }
        in_time("the loss", Duration::from_secs(10), guard.lost()).await;
        assert!(guard.verify().await.is_err());
        let error = locker.lock("k").timeout(Duration::from_secs(2)).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. } | Error::Unsupported { .. }), "{error}");
        witness.run("SET GLOBAL read_only = OFF").await;
        let again = async || match locker.lock("k").try_acquire().await {
            Ok(guard) => guard.is_some(),
            Err(_) => false,
        };
        eventually_async("it is the primary again", Duration::from_secs(10), again).await;
    }
}

#[test]
fn galera_node() {
    const GALERA: &str = "DLOCK_TEST_GALERA";
    let Ok(url) = std::env::var(GALERA) else {
        return not_run("refusal of Galera", &format!("{GALERA} is not set"));
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Locker::connect(&url)).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("lease+mysql://"), "{error}");
}

/// It takes writes, and follows another server: what is locked here, is not locked there.
pub(crate) async fn replica_that_takes_writes(site: Site) {
    let Some(server) = Server::like(&site, &["server_id=7"]) else { return };
    let mut witness = Witness::at(server.url()).await;
    let ours = Site::at(server.url()).locker().await;
    let follow = match site.backend.is_some_and(Backend::is_mariadb) {
        true => {
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='x'; START SLAVE"
        }
        false => {
            "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1, SOURCE_USER='x'; \
             START REPLICA"
        }
    };
    witness.run(follow).await;
    for url in [server.url().to_owned(), format!("lease+{}", server.url())] {
        let error = Locker::connect(&url).await.unwrap_err();
        let text =
            format!("{error} {}", error.source().map_or_else(String::new, |e| e.to_string()));
        assert!(text.contains("replicates another server"), "{text}");
        assert!(text.contains("connect to the primary"), "{text}");
    }
    assert!(ours.check().await.unwrap().to_string().contains("replicates another one"));
    // Who may not see it hears that.
    let app = server.url().replace("root@", "app:secret@").replace("/test", "/app");
    for url in [app.clone(), format!("lease+{app}")] {
        if let Ok(locker) = Locker::connect(&url).await {
            let report = locker.check().await.unwrap().to_string();
            assert!(report.contains("this user may not see"), "{url}: {report}");
            assert!(report.contains("REPLICATION CLIENT"), "{url}: {report}");
        }
    }
    let stop = match site.backend.is_some_and(Backend::is_mariadb) {
        true => "STOP SLAVE; RESET SLAVE ALL",
        false => "STOP REPLICA; RESET REPLICA ALL",
    };
    witness.run(stop).await;
    Locker::connect(server.url()).await.unwrap();
}

/// How soon a commit is on disk is the server's to say, and everybody's to hear.
pub(crate) async fn lazy_server_is_told_to_every_user(site: Site) {
    let Some(server) = Server::like(&site, &["innodb_flush_log_at_trx_commit=0"]) else { return };
    let app = server.url().replace("root@", "app:secret@").replace("/test", "/app");
    for url in [app.clone(), format!("lease+{app}")] {
        let report = Locker::connect(&url).await.unwrap().check().await.unwrap().to_string();
        assert!(report.contains("innodb_flush_log_at_trx_commit is 0"), "{url}: {report}");
    }
}

/// What other programs call themselves stays on its line.
pub(crate) async fn names_of_others_end_no_line(site: Site) {
    let locker = site.locker().await;
    let odd = site.named("odd").builder().application_name("evil\n\u{1b}[31mname").connect();
    let odd = odd.await.unwrap();
    let held = odd.lock("k").acquire().await.unwrap();
    let lock = locker.lock("k").timeout(Duration::from_millis(100));
    let error = timeout_with_holder(&lock).await;
    assert!(!error.to_string().contains(['\n', '\u{1b}']), "{error}");
    for lock in locker.status().await.unwrap() {
        for holder in &lock.holders {
            assert!(!holder.who.contains(['\n', '\u{1b}']), "{holder:?}");
        }
    }
    held.release().await.unwrap();
}
