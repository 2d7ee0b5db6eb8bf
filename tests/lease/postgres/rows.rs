//! The rows, and who else touches them.

use std::time::{Duration, Instant};

use dlock::{KeyScheme, NativeKey};
use dlock_tests::Site;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokio::time::sleep;

use super::corner::{Corner, plain};

const MS: Duration = Duration::from_millis(1);

/// Somebody looks at rows with `FOR UPDATE` and goes to lunch.
pub(crate) async fn locked_by_hand_only_delay(site: Site) {
    let mut corner = Corner::new(&site).await;
    let locker = corner.locker().await;
    let rival = corner.locker().await;
    let held = locker.lock("held").acquire().await.unwrap();
    locker.lock("free").acquire().await.unwrap().release().await.unwrap();

    corner.run("BEGIN; SELECT FROM {table} FOR UPDATE").await;
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        // Not to be told from one that somebody is about to take, and not waited for.
        assert!(rival.lock("free").try_acquire().await.unwrap().is_none());
        fastest = fastest.min(start.elapsed());
    }
    assert!(fastest < 80 * MS, "{fastest:?}");
    let other = rival.lock("other").try_acquire().await.unwrap().expect("it has no row yet");
    // Longer than until the renewal of what is held, which is due after two seconds.
    sleep(3500 * MS).await;
    assert!(!held.is_lost());
    corner.run("COMMIT").await;
    other.release().await.unwrap();
    sleep(4000 * MS).await;
    held.verify().await.unwrap();
    held.release().await.unwrap();
    rival.lock("free").timeout(MS * 1000).acquire().await.unwrap().release().await.unwrap();
    corner.drop().await;
}

pub(crate) async fn odd_names_and_owners_are_as_they_are(site: Site) {
    let corner = Corner::new(&site).await;
    let names =
        ["", "'", "''", "\\", "\\'", "a", "A", "a ", "é", "e\u{301}", "🔒", "$1", "$$", "--", "\n"];
    let as_it_is = KeyScheme::Custom(std::sync::Arc::new(|key| {
        NativeKey::Name(key.as_str().unwrap_or_default().to_owned())
    }));
    let locker = corner.site.builder().namespace("").key_scheme(as_it_is.clone());
    let locker = locker.lease_options(corner.options()).connect().await.unwrap();
    let rival = corner.site.builder().namespace("").key_scheme(as_it_is);
    let rival = rival.lease_options(corner.options()).connect().await.unwrap();
    let mut guards = Vec::new();
    for name in names {
        let lock = locker.lock(name).owner(format!("o{name}"));
        let guard = lock.try_acquire().await.unwrap().expect(name);
        guards.push(guard);
    }
    for guard in guards {
        assert!(rival.lock(guard.key()).try_acquire().await.unwrap().is_none());
        guard.verify().await.unwrap();
        guard.release().await.unwrap();
    }
    corner.drop().await;
}

pub(crate) async fn are_never_deleted_and_never_without_owner(site: Site) {
    let mut corner = Corner::new(&site).await;
    let locker = corner.site.builder().namespace("").lease_options(corner.options()).connect();
    let locker = locker.await.unwrap();
    let row = "SELECT owner || ' ' || fence || ' ' || (expires_at > now()) || ' ' || \
        (acquired_at <= now()) FROM {table}";
    let mut token = 0;
    for round in 0..3 {
        let guard = locker.lock("k").owner("me").acquire().await.unwrap();
        assert!(round == 0 || guard.fence() == Some(token + 1));
        token = guard.fence().unwrap();
        assert_eq!(corner.text(row).await, format!("me {token} true true"));
        guard.release().await.unwrap();
        assert_eq!(corner.text(row).await, format!(" {token} false true"));
    }
    // Until it is released: first for a while, then for ever.
    let endless = locker.lock("k").ttl(Duration::MAX).acquire().await.unwrap();
    let ends = "SELECT CAST(expires_at AS text) FROM {table}";
    for _ in 0..50 {
        if corner.text(ends).await == "infinity" {
            break;
        }
        sleep(20 * MS).await;
    }
    assert_eq!(corner.text(ends).await, "infinity");
    let rival = corner.site.builder().namespace("").lease_options(corner.options()).connect();
    let rival = rival.await.unwrap();
    assert!(rival.lock("k").try_acquire().await.unwrap().is_none());
    endless.release().await.unwrap();
    assert_eq!(corner.text(ends).await, "-infinity");
    // What is kept beyond the end of its holder has no owner.
    let kept = rival.lock("k").min_hold(800 * MS).acquire().await.unwrap();
    let start = Instant::now();
    kept.release().await.unwrap();
    rival.close().await;
    assert_eq!(corner.text("SELECT owner || '.' FROM {table}").await, ".");
    let next = locker.lock("k").acquire().await.unwrap();
    assert!(start.elapsed() > 600 * MS, "{:?}", start.elapsed());
    assert_eq!(next.fence(), Some(token + 3));
    corner.drop().await;
}

pub(crate) async fn are_shown_and_explained(site: Site) {
    let corner = Corner::new(&site).await;
    let locker = corner.locker().await;
    let explained = locker.explain("k'");
    let mut raw = sqlx::postgres::PgConnection::connect(plain(&site.url)).await.unwrap();
    let mut holders = async || {
        let sql = AssertSqlSafe(explained.sql.clone());
        sqlx::raw_sql(sql).fetch_all(&mut raw).await.unwrap()
    };
    let _other = locker.lock("other").acquire().await.unwrap();
    drop(locker.lock("gone").acquire().await.unwrap());
    let guard = locker.lock("k'").owner("me").acquire().await.unwrap();
    let status = locker.status().await.unwrap();
    let status = status.iter().find(|status| status.native == explained.native).unwrap();
    let fence = guard.fence().unwrap();
    assert_eq!(status.holders[0].who, format!("owner me, fence {fence}"));
    assert!(status.holders[0].held_for.unwrap() < Duration::from_secs(5));
    let rows = holders().await;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<String, _>("owner"), "me");
    guard.release().await.unwrap();
    assert!(holders().await.is_empty());
    corner.drop().await;
}
