//! Locks that are shared with Python programs, by their key schemes.

use dlock::{KeyScheme, Mode, on, within};
use dlock_tests::peer::{Library, Peer, python};
use dlock_tests::{Site, unique};

use super::{Conn, connect};
use crate::db::run;

/// The session's lock and the transaction's exclude theirs, and theirs those.
pub(crate) async fn python_libraries_are_excluded_and_exclude(site: Site) {
    let Some(python) = python(&site) else { return };
    let key = format!("usér:{}", unique("k"));
    for (library, scheme, theirs) in [
        (Library::SqlalchemyDlock, KeyScheme::SqlalchemyDlock, key.clone()),
        (Library::Pals, KeyScheme::Pals { app: "app".into() }, format!("app/{key}")),
        (Library::PostgresqlLock, KeyScheme::PostgresqlLock, key.clone()),
    ] {
        let mut peer = Peer::start(&python, library, &site.url, &theirs, Mode::Exclusive).await;
        let mut conn = connect(&site).await;
        let within = async |conn: &mut Conn| {
            within(conn).key_scheme(scheme.clone()).lock(&key).try_acquire().await.unwrap()
        };
        assert_eq!(peer.say("take").await, "held");
        let mut lock = on(&mut conn).key_scheme(scheme.clone()).lock(&key);
        assert!(!lock.try_acquire().await.unwrap(), "{}", library.name());
        drop(lock);
        run(&mut conn, "BEGIN").await;
        assert!(!within(&mut conn).await, "{}", library.name());
        assert_eq!(peer.say("release").await, "free");

        assert!(within(&mut conn).await, "{}", library.name());
        assert_eq!(peer.say("take").await, "busy");
        run(&mut conn, "COMMIT").await;
        let mut lock = on(&mut conn).key_scheme(scheme).lock(&key);
        lock.acquire().await.unwrap();
        assert_eq!(peer.say("take").await, "busy");
        assert!(lock.release().await.unwrap());
        assert_eq!(peer.say("take").await, "held");
    }
}
