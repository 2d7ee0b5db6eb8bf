//! After a restart the server gives the numbers of its sessions to others.

use std::time::Duration;

use dlock_tests::{Proxy, Server, Site, Witness, in_time};
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection as _, Row as _};

const TTL: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(20);

/// The order could end it.
pub(crate) async fn session_of_the_same_user_is_left_alone(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    orders_hit_nobody(&server, &server.url().replace("root@", "program@")).await;
}

/// The order would be refused.
pub(crate) async fn session_of_another_user_is_left_alone(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    orders_hit_nobody(&server, server.url()).await;
}

/// A holder is cut off, the server is restarted, and another program's session has its number: to
/// end what is left of the holder's session does nothing to that, and fails nothing.
async fn orders_hit_nobody(server: &Server, theirs: &str) {
    let mut witness = Witness::at(server.url()).await;
    witness.run("CREATE USER program@'%'; GRANT ALL ON test.* TO program@'%'").await;
    drop(witness);
    let users = server.url().replace("root@", "program@");
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(MySqlConnection::connect(theirs).await.unwrap());
    }
    let proxy = Proxy::to(&users).await;
    let ours = Site::at(proxy.url()).ttl(TTL).locker().await;
    let held = ours.lock("k").acquire().await.unwrap();
    let id = Witness::at(server.url()).await.holder(&name(&ours)).await.unwrap();
    proxy.forget_open();
    all.clear();
    server.restart();
    loop {
        let mut other = MySqlConnection::connect(theirs).await.unwrap();
        // The one before may have it for a moment after it was closed.
        let row = sqlx::query("SELECT CAST(CONNECTION_ID() AS SIGNED), GET_LOCK('theirs', 20)");
        let its: i64 = row.fetch_one(&mut other).await.unwrap().get(0);
        assert!(its <= id, "{its} comes after {id}");
        all.push(other);
        if its == id {
            break;
        }
        // It is the last one that is to hold it.
        all.pop().unwrap().close().await.unwrap();
    }
    in_time("the loss", LIMIT, held.lost()).await;
    for _ in 0..3 {
        // A key that nobody has: it is to be had whatever becomes of the order.
        let guard = loop {
            match ours.lock("free").timeout(LIMIT).acquire().await {
                Ok(guard) => break guard,
                // The server is just starting.
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        };
        guard.release().await.unwrap();
    }
    let mine = sqlx::query("SELECT IS_USED_LOCK('theirs') = CONNECTION_ID()");
    let mine = mine.fetch_one(all.last_mut().unwrap()).await;
    assert_eq!(mine.unwrap().get::<Option<i64>, _>(0), Some(1));
    ours.close().await;
}

/// What the server calls the key.
fn name(locker: &dlock::Locker) -> String {
    match locker.explain("k").native {
        dlock::NativeKey::Name(name) => name,
        other => panic!("{other:?}"),
    }
}
