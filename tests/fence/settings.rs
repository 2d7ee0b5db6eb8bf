//! What a server, a role or a user is set to for other programs.

use std::time::Duration;

use dlock_tests::{Backend, Server, Site};

const LONG: Duration = Duration::from_secs(20);

/// The session that has the lock stays, and its token is written.
pub(crate) async fn of_the_server_change_nothing(site: Site) {
    let postgres: &[&str] = &[
        "default_transaction_read_only=on",
        "default_transaction_deferrable=on",
        "default_transaction_isolation=serializable",
        "statement_timeout=2000",
    ];
    let [release, chain]: [&[&str]; 2] = [
        &["completion_type=RELEASE", "transaction_read_only=ON", "autocommit=0"],
        &[
            "completion_type=CHAIN",
            "transaction_isolation=SERIALIZABLE",
            "sql_mode=ANSI,NO_BACKSLASH_ESCAPES",
            "init_connect=SET SESSION sql_safe_updates=1,sql_select_limit=1,max_join_size=1000",
        ],
    ];
    let all = if site.backend.is_some_and(Backend::is_postgres) {
        vec![postgres]
    } else {
        vec![release, chain]
    };
    for settings in all {
        let Some(server) = Server::like(&site, settings) else { return };
        // What connects is only set for users who are not allowed everything.
        let url = server.url().replace("root@", "app:secret@").replace("/test", "/app");
        let site = Site::at(&url);
        let (ours, theirs) = (site.locker().await, site.locker().await);
        let mut held = Vec::new();
        for key in 0..10 {
            let guard = ours.lock(key).fenced().timeout(LONG).acquire().await.unwrap();
            assert!(guard.fence().is_some());
            held.push(guard);
        }
        for guard in &held {
            let rival = theirs.lock(guard.key()).fenced().try_acquire().await.unwrap();
            assert!(rival.is_none(), "{} is held twice under {settings:?}", guard.key());
        }
        for guard in held {
            let (key, token) = (guard.key().clone(), guard.fence());
            guard.verify().await.unwrap();
            guard.release().await.unwrap();
            let next = theirs.lock(key).fenced().timeout(LONG).acquire().await.unwrap();
            assert!(next.fence() > token);
            next.release().await.unwrap();
        }
    }
}
