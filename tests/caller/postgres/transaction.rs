//! `#[locked(tx = conn)]`: a lock inside the caller's transaction.

use async_trait::async_trait;
use dlock::{Error, locked, within};
use dlock_tests::Site;
use sqlx::pool::PoolConnection;
use sqlx::{Acquire as _, AssertSqlSafe, Executor, Postgres, Transaction};

use super::{Conn, connect, pool};
use crate::locked::{ask, is_held};

type Taken<T = ()> = Result<T, sqlx::Error>;

/// Reads, thinks and writes: without the locks, some of it would be lost.
#[locked(keys = ["<table>:<from>", "<table>:<to>"], tx = tx, timeout = 10)]
async fn transfer(tx: &mut Transaction<'_, Postgres>, table: &str, from: i32, to: i32) -> Taken {
    for (account, change) in [(from, -1), (to, 1)] {
        let select = format!("SELECT balance FROM {table} WHERE account = $1");
        let balance: i32 =
            sqlx::query_scalar(AssertSqlSafe(select)).bind(account).fetch_one(&mut **tx).await?;
        tokio::task::yield_now().await;
        let update = format!("UPDATE {table} SET balance = $2 WHERE account = $1");
        let update = sqlx::query(AssertSqlSafe(update)).bind(account).bind(balance + change);
        update.execute(&mut **tx).await?;
    }
    Ok(())
}

pub(crate) async fn transfers_lose_nothing(site: Site) {
    let pool = pool(&site, 5).await;
    let table = format!("accounts_{}", site.namespace.replace('-', "_"));
    let make = format!(
        "CREATE TABLE {table} AS SELECT i AS account, 100 AS balance
        FROM generate_series(1, 3) i"
    );
    pool.execute(AssertSqlSafe(make)).await.unwrap();
    let calls = [(1, 2), (2, 1), (2, 3), (3, 1)].map(|(from, to)| {
        let (pool, table) = (pool.clone(), table.clone());
        tokio::spawn(async move {
            for _ in 0..20 {
                let mut tx = pool.begin().await.unwrap();
                transfer(&mut tx, &table, from, to).await.unwrap();
                tx.commit().await.unwrap();
            }
        })
    });
    for call in calls {
        call.await.unwrap();
    }
    let select = format!("SELECT balance FROM {table} ORDER BY account");
    let balances: Vec<i32> =
        sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(&pool).await.unwrap();
    pool.execute(AssertSqlSafe(format!("DROP TABLE {table}"))).await.unwrap();
    assert_eq!(balances, [120, 80, 100]);
}

#[locked(key = "<key>", tx = tx)]
async fn commit(mut tx: Transaction<'_, Postgres>, site: &Site, key: &str) -> Taken<bool> {
    ask(&mut *tx).await?;
    let held = is_held::<Conn>(site, key).await;
    tx.commit().await?;
    Ok(held)
}

#[locked(key = "<key>", tx = conn)]
async fn early(conn: &mut PoolConnection<Postgres>, key: &str, fail: bool) -> Taken<u8> {
    if !fail {
        return Ok(1);
    }
    conn.execute("SELECT no_such_column").await?;
    Ok(2)
}

pub(crate) async fn the_transaction_holds_it(site: Site) {
    let (pool, key) = (pool(&site, 2).await, &*site.namespace);
    assert!(commit(pool.begin().await.unwrap(), &site, key).await.unwrap());
    assert!(!is_held::<Conn>(&site, key).await);
    let mut conn = pool.acquire().await.unwrap();
    conn.execute("BEGIN").await.unwrap();
    assert_eq!(early(&mut conn, key, false).await.unwrap(), 1);
    assert_eq!(early(&mut conn, key, false).await.unwrap(), 1, "a transaction may take it again");
    assert!(is_held::<Conn>(&site, key).await);
    let error = early(&mut conn, key, true).await.unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
    conn.execute("ROLLBACK").await.unwrap();
    assert!(!is_held::<Conn>(&site, key).await);
}

#[locked(key = "<key>", tx = conn)]
async fn outside(conn: &mut Conn, key: &str) -> Result<(), Error> {
    let _ = conn;
    Ok(())
}

pub(crate) async fn there_must_be_a_transaction(site: Site) {
    let mut conn = connect(&site).await;
    let error = outside(&mut conn, &site.namespace).await.unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
}

#[locked(key = "<key>", tx = tx, timeout = 0, on_busy = skip)]
async fn if_free(tx: &mut Transaction<'_, Postgres>, key: &str) -> Taken<bool> {
    ask(&mut **tx).await.map(|()| true)
}

#[locked(key = "<key>", tx = tx, mode = shared, timeout = 0, on_busy = false, on_error = |_| false)]
async fn shared(tx: &mut Transaction<'_, Postgres>, key: &str) -> bool {
    ask(&mut **tx).await.is_ok()
}

pub(crate) async fn busy_lock_leaves_the_transaction_usable(site: Site) {
    let (pool, key) = (pool(&site, 2).await, &*site.namespace);
    let (mut one, mut other) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    within(&mut one).lock(key).shared().acquire().await.unwrap();
    assert!(!if_free(&mut other, key).await.unwrap());
    assert!(shared(&mut other, key).await);
    ask(&mut *other).await.unwrap();
    one.commit().await.unwrap();
    assert!(if_free(&mut other, key).await.unwrap());
    other.commit().await.unwrap();
}

struct Shop {
    key: String,
}

#[async_trait]
trait Sells {
    async fn sell(&self, tx: &mut Transaction<'_, Postgres>, site: &Site) -> Taken<bool>;
    async fn close(&self, tx: Transaction<'_, Postgres>, site: &Site) -> Taken<bool>;
}

#[async_trait]
impl Sells for Shop {
    #[locked(key = "<self.key>", tx = tx)]
    async fn sell(&self, tx: &mut Transaction<'_, Postgres>, site: &Site) -> Taken<bool> {
        let mut nested = tx.begin().await?;
        ask(&mut *nested).await?;
        nested.commit().await?;
        Ok(is_held::<Conn>(site, &self.key).await)
    }

    #[locked(key = "<self.key>", tx = tx)]
    async fn close(&self, mut tx: Transaction<'_, Postgres>, site: &Site) -> Taken<bool> {
        let held = is_held::<Conn>(site, &self.key).await;
        tx.commit().await?;
        Ok(held && !is_held::<Conn>(site, &self.key).await)
    }
}

pub(crate) async fn methods_are_locked(site: Site) {
    let pool = pool(&site, 1).await;
    let shop = Shop { key: site.namespace.clone() };
    let mut tx = pool.begin().await.unwrap();
    let call = shop.sell(&mut tx, &site);
    fn is_send(_: &impl Send) {}
    is_send(&call);
    assert!(call.await.unwrap());
    assert!(shop.close(tx, &site).await.unwrap());
}
