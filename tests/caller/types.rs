//! What the types can be used for, and what they show.

use dlock::{KeyScheme, on, within};
use dlock_tests::Site;

use sqlx::pool::PoolConnection;

use crate::db::{Application, connect, lock, pool};

fn sendable<T: Send>(value: T) -> T {
    value
}

/// Futures go to other threads, as tasks do.
pub(crate) async fn futures_can_be_spawned<C: Application>(site: Site) {
    let task = tokio::spawn(async move {
        let pool = pool::<C>(&site, 1).await;
        let mut conn = pool.acquire().await.unwrap();
        let mut lock = sendable(on(&mut conn).lock(&site.namespace));
        sendable(lock.acquire()).await.unwrap();
        sendable(lock.release()).await.unwrap();
        let mut lock = on(&mut conn).lock(&site.namespace);
        assert!(sendable(lock.try_acquire()).await.unwrap());
        drop(lock);
        let body = async |_: &mut PoolConnection<C::Database>| Ok::<_, dlock::Error>(7);
        let seven = on(&mut conn).lock(site.name.as_str()).run(body).await;
        assert_eq!(seven.unwrap(), 7);
        // `&mut` of a connection is one too, and so is that of another function's.
        let reference: &mut C = &mut conn;
        let mut twice = reference;
        drop(on(&mut twice).lock("k"));
        let _ = sendable(within(&mut conn).lock("k").acquire()).await;
    });
    task.await.unwrap();
}

pub(crate) async fn debug_shows_no_secrets<C: Application>(site: Site) {
    const SECRET: &str = "s3cr3t";
    let mut conn = connect::<C>(&site).await;
    let custom =
        KeyScheme::Custom(std::sync::Arc::new(|_| dlock::NativeKey::Id(SECRET.len() as i64)));
    let mut held = lock(&site, &mut conn);
    let text = format!("{held:?}");
    assert!(text.contains(&site.namespace), "{text}");
    for secret in [SECRET, "password", "root@", "dlock@", "127.0.0.1"] {
        assert!(!text.contains(secret), "{text}");
    }
    held.acquire().await.unwrap();
    let nested = on(held.conn()).key_scheme(custom).lock("k");
    assert!(!format!("{nested:?}").contains(SECRET));
    drop(nested);
    assert!(!format!("{:?}", within(held.conn()).lock("k")).contains(SECRET));
    held.release().await.unwrap();
}
