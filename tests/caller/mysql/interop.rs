//! Locks that are shared with Python programs, by their key schemes.

use dlock::{Error, KeyScheme, Mode, on};
use dlock_tests::peer::{Library, Peer, python};
use dlock_tests::{Site, unique};

use super::connect;

pub(crate) async fn python_library_is_excluded_and_excludes(site: Site) {
    let Some(python) = python(&site) else { return };
    let key = unique("usér");
    let library = Library::SqlalchemyDlock;
    let mut peer = Peer::start(&python, library, &site.url, &key, Mode::Exclusive).await;
    let mut conn = connect(&site).await;
    assert_eq!(peer.say("take").await, "held");
    let mut lock = on(&mut conn).key_scheme(KeyScheme::SqlalchemyDlock).lock(&key);
    assert!(!lock.try_acquire().await.unwrap());
    assert_eq!(peer.say("release").await, "free");
    assert!(lock.try_acquire().await.unwrap());
    assert_eq!(peer.say("take").await, "busy");
    assert!(lock.release().await.unwrap());
    assert_eq!(peer.say("take").await, "held");
}

/// A library that does not know this database has no locks in it to share.
pub(crate) async fn libraries_without_this_database_are_refused(site: Site) {
    let mut conn = connect(&site).await;
    for scheme in [KeyScheme::PostgresqlLock, KeyScheme::Pals { app: "a".into() }] {
        let error = on(&mut conn).key_scheme(scheme).lock("k").acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    }
}
