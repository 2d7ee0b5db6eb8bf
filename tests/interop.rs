//! Locks that are shared with Python programs: the real packages from PyPI, in processes of their
//! own, on real servers.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "interop/django.rs"]
mod django;

use std::sync::Arc;

use dlock::{Error, Key, KeyScheme, Locker, Mode, NativeKey};
use dlock_tests::peer::{Library, Peer, python};
use dlock_tests::{Site, tabulate, unique};

dlock_tests::suite! {
    "interop" on [
        postgres Postgres, postgres18 Postgres18, mysql MySql, mariadb MariaDb,
        mariadb118 MariaDb118,
    ] {
        shared: [
            sqlalchemy_dlock,
            sqlalchemy_dlock_with_integers,
        ]
    }
}
dlock_tests::suite! {
    "interop" on [pg15 Postgres, pg18 Postgres18] {
        shared: [
            pals,
            pals_without_an_app,
            postgresql_lock,
            readers_of_both_share,
        ]
    }
}
dlock_tests::suite! {
    "interop" on [
        lease_postgres LeasePostgres, lease_mysql LeaseMySql, lease_mariadb LeaseMariaDb,
    ] {
        django: [
            excludes_dlock_and_is_excluded,
            takes_over_what_has_run_out,
            counts_together_with_dlock,
            same_owner_is_the_same_on_both_sides,
        ]
    }
}
dlock_tests::suite! {
    "interop" on [my MySql, maria MariaDb] {
        shared: [
            names_that_sqlalchemy_dlock_refuses,
            libraries_without_this_database_are_refused,
        ]
    }
}

mod shared {
    use super::*;

    /// Both take the same key in turn: who has it excludes the other.
    async fn exclude(
        site: Site,
        peer: (Library, &str),
        scheme: KeyScheme,
        theirs: &str,
        ours: Key,
    ) {
        let (library, keys) = peer;
        let Some(python) = python(&site) else { return };
        let locker = Locker::builder(&site.url).key_scheme(scheme).connect().await.unwrap();
        let lock = locker.lock(ours);
        let mut peer = Peer::start(&python, library, &site.url, theirs, Mode::Exclusive).await;

        assert_eq!(peer.say("take").await, "held");
        let theirs_excludes = lock.try_acquire().await.unwrap().is_none();
        assert_eq!(peer.say("release").await, "free");

        let guard = lock.try_acquire().await.unwrap().expect("it has been released");
        let ours_excludes = peer.say("take").await == "busy";
        guard.release().await.unwrap();
        assert_eq!(peer.say("take").await, "held", "what dlock has released is free");

        let database = site.backend.map(|backend| backend.to_string()).unwrap();
        let mark = |excludes| if excludes { "✓" } else { "✗" };
        tabulate(&format!(
            "interop  {database:<11} {:<17} {keys:<9} it excludes dlock {}  dlock excludes it {}",
            library.name(),
            mark(theirs_excludes),
            mark(ours_excludes),
        ));
        assert!(theirs_excludes, "dlock got what {} holds", library.name());
        assert!(ours_excludes, "{} got what dlock holds", library.name());
        locker.close().await;
    }

    pub(crate) async fn sqlalchemy_dlock(site: Site) {
        let key = format!("usér:{}", unique("k"));
        let scheme = KeyScheme::SqlalchemyDlock;
        exclude(site, (Library::SqlalchemyDlock, "text"), scheme, &key, Key::from(&key)).await;
    }

    pub(crate) async fn sqlalchemy_dlock_with_integers(site: Site) {
        // A negative one, and apart from those of other runs.
        let id = -i64::from(std::process::id()) - (1 << 40);
        let theirs = format!("int:{id}");
        let scheme = KeyScheme::SqlalchemyDlock;
        exclude(site, (Library::SqlalchemyDlock, "integers"), scheme, &theirs, Key::native(id))
            .await;
    }

    pub(crate) async fn pals(site: Site) {
        let key = format!("usér:{}", unique("k"));
        let scheme = KeyScheme::Pals { app: "my-app".into() };
        let theirs = format!("my-app/{key}");
        exclude(site, (Library::Pals, "text"), scheme, &theirs, Key::from(&key)).await;
    }

    pub(crate) async fn pals_without_an_app(site: Site) {
        let key = unique("k");
        let scheme = KeyScheme::Pals { app: String::new() };
        exclude(site, (Library::Pals, "no app"), scheme, &format!("/{key}"), Key::from(&key)).await;
    }

    pub(crate) async fn postgresql_lock(site: Site) {
        let key = format!("usér:{}", unique("k"));
        let scheme = KeyScheme::PostgresqlLock;
        exclude(site, (Library::PostgresqlLock, "text"), scheme, &key, Key::from(&key)).await;
    }

    pub(crate) async fn readers_of_both_share(site: Site) {
        let Some(python) = python(&site) else { return };
        let key = unique("k");
        for (library, scheme, theirs) in [
            (Library::SqlalchemyDlock, KeyScheme::SqlalchemyDlock, key.clone()),
            (Library::Pals, KeyScheme::Pals { app: "a".into() }, format!("a/{key}")),
            (Library::PostgresqlLock, KeyScheme::PostgresqlLock, key.clone()),
        ] {
            let builder = Locker::builder(&site.url).key_scheme(scheme);
            let lock = builder.connect().await.unwrap().lock(&key);
            let mut reader = Peer::start(&python, library, &site.url, &theirs, Mode::Shared).await;
            assert_eq!(reader.say("take").await, "held");
            let shared = lock.clone().shared().try_acquire().await.unwrap().expect("both read");
            assert!(lock.try_acquire().await.unwrap().is_none(), "{} reads", library.name());
            assert_eq!(reader.say("release").await, "free");
            shared.release().await.unwrap();

            let written = lock.try_acquire().await.unwrap().expect("nobody reads");
            assert_eq!(reader.say("take").await, "busy", "dlock writes");
            written.release().await.unwrap();
        }
    }

    pub(crate) async fn names_that_sqlalchemy_dlock_refuses(site: Site) {
        let builder = Locker::builder(&site.url).key_scheme(KeyScheme::SqlalchemyDlock);
        let locker = builder.connect().await.unwrap();
        let longest = "k".repeat(64);
        assert_eq!(locker.explain(&longest).native, NativeKey::Name(longest));
        let long = locker.lock("k".repeat(65));
        assert!(matches!(long.try_acquire().await, Err(Error::InvalidKey { .. })));
    }

    pub(crate) async fn libraries_without_this_database_are_refused(site: Site) {
        for scheme in [KeyScheme::PostgresqlLock, KeyScheme::Pals { app: "a".into() }] {
            let connected = Locker::builder(&site.url).key_scheme(scheme).connect().await;
            assert!(matches!(connected, Err(Error::Unsupported { .. })), "{connected:?}");
        }
        let ids = KeyScheme::Custom(Arc::new(|_| NativeKey::Id(7)));
        let locker = Locker::builder(&site.url).key_scheme(ids).connect().await.unwrap();
        let native = locker.explain("any").native;
        assert_eq!(
            native,
            Locker::connect(&site.url).await.unwrap().explain(Key::native(7)).native
        );
    }
}
