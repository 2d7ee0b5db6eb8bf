//! What MySQL and MariaDB lack, and servers whose locks exclude nobody elsewhere.

use std::time::Duration;

use dlock::{Error, Mode, on, within};
use dlock_tests::{Server, Site, Witness};

use super::{Conn, connect, counted};
use crate::db::run;

async fn refusal(conn: &mut Conn) -> String {
    let mut text = String::new();
    for wait in [Duration::ZERO, Duration::from_millis(300), Duration::MAX] {
        for again in [false, true] {
            let mut lock = on(&mut *conn).lock("k").timeout(wait);
            if again {
                lock = lock.reentrant();
            }
            let error = lock.acquire().await.unwrap_err();
            assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
            assert!(!lock.release().await.unwrap());
            text = error.to_string();
        }
    }
    text
}

/// There is nothing that ends with a transaction, and nothing is asked to find that out.
pub(crate) async fn locks_of_a_transaction(site: Site) {
    let (proxy, mut conn) = counted(&site).await;
    run(&mut conn, "BEGIN").await;
    let before = proxy.round_trips();
    let error = within(&mut conn).lock("k").acquire().await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("dlock::on"), "{error}");
    assert!(within(&mut conn).lock_all(["a", "b"]).try_acquire().await.is_err());
    assert_eq!(proxy.round_trips(), before);
}

pub(crate) async fn modes(site: Site) {
    let (proxy, mut conn) = counted(&site).await;
    let before = proxy.round_trips();
    for mode in [Mode::Shared, Mode::Update, Mode::SubExclusive] {
        let error = on(&mut conn).lock("k").mode(mode).acquire().await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    }
    assert_eq!(proxy.round_trips(), before);
}

pub(crate) async fn replica(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    let mut conn = connect(&Site::at(server.url())).await;
    let mut witness = Witness::at(server.url()).await;
    witness.run("SET GLOBAL read_only = ON").await;
    assert!(refusal(&mut conn).await.contains("connect to the primary"));
    witness.run("SET GLOBAL read_only = OFF").await;
    let mut lock = on(&mut conn).lock("k");
    lock.acquire().await.unwrap();
    assert!(lock.release().await.unwrap());
}

/// Every node of it grants the same lock.
pub(crate) async fn galera_node(_: Site) {
    let Some(server) = Server::galera() else { return };
    let mut conn = connect(&Site::at(server.url())).await;
    assert!(refusal(&mut conn).await.contains("lease+mysql://"));
}
