//! A locker made from the application's pool.

use std::time::Duration;

use dlock::Locker;
use dlock_tests::{Site, Witness, eventually_async};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

fn options(site: &Site) -> PgConnectOptions {
    site.url.parse::<PgConnectOptions>().unwrap().application_name(&site.name)
}

/// With all connections of the pool in use, locks are taken as ever.
pub(crate) async fn is_left_to_the_application(site: Site) {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options(&site)).await.unwrap();
    let mut used = pool.acquire().await.unwrap();
    let locker = Locker::from_pool(&pool).namespace(&site.namespace).connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    assert!(site.locker().await.lock("k").try_acquire().await.unwrap().is_none());
    assert_eq!((pool.size(), pool.num_idle()), (1, 0));
    sqlx::query("SELECT 1").execute(&mut *used).await.unwrap();
    // Closing the pool is the application's affair, not the locks'.
    drop(used);
    pool.close().await;
    guard.verify().await.unwrap();
    let other = locker.lock("other").acquire().await.unwrap();
    other.release().await.unwrap();
    guard.release().await.unwrap();
}

/// A new user, as when a password is rotated: the next session is opened with it.
pub(crate) async fn rotated_options_are_followed(site: Site) {
    let role = site.name.replace('-', "_");
    let mut witness = Witness::at(&site.url).await;
    witness.run(&format!("CREATE ROLE {role} LOGIN")).await;
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options(&site)).await.unwrap();
    let locker =
        Locker::from_pool(pool.clone()).namespace(&site.namespace).connect().await.unwrap();
    pool.set_connect_options(options(&site).username(&role));

    // A wait needs another session.
    let held = site.named("theirs").locker().await.lock("k").acquire().await.unwrap();
    let waiting = tokio::spawn({
        let lock = locker.lock("k");
        async move { lock.acquire().await }
    });
    let new = "SELECT count(*) FROM pg_stat_activity WHERE usename = replace($1, '-', '_')";
    let limit = Duration::from_secs(5);
    eventually_async("a session of the new role", limit, async || {
        witness.number(new, &site).await == 1
    })
    .await;
    held.release().await.unwrap();
    waiting.await.unwrap().unwrap().release().await.unwrap();
    locker.close().await;
    pool.close().await;
    eventually_async("it is gone", limit, async || witness.number(new, &site).await == 0).await;
    witness.run(&format!("DROP ROLE {role}")).await;
}
