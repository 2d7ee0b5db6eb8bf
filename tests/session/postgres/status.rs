//! What the server shows of locks, and what is made of it.

use std::time::Duration;

use dlock::{Key, LockStatus, Locker, Mode};
use dlock_tests::{Server, Site, Witness, eventually_async, timeout_with_holder};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const SOON: Duration = Duration::from_secs(5);

async fn status_of(locker: &Locker, key: &Key) -> Option<LockStatus> {
    let native = locker.explain(key).native;
    let mut found = locker.status().await.unwrap();
    found.retain(|status| status.native == native);
    assert!(found.len() <= 1, "{found:?}");
    found.pop()
}

pub(crate) async fn names_holders_and_waiters_in_line(site: Site) {
    let keys = [
        Key::from("k"),
        Key::native(fastrand::i64(..0)),
        Key::pair(fastrand::i32(..0), fastrand::i32(..0)),
    ];
    let theirs = site.named("theirs").locker().await;
    let lockers = [site.named("first").locker().await, site.named("second").locker().await];
    let mut witness = Witness::at(&site.url).await;
    for key in keys {
        assert_eq!(status_of(&theirs, &key).await, None);
        let held = theirs.lock(&key).shared().acquire().await.unwrap();
        let mut waiting = Vec::new();
        for (n, locker) in lockers.iter().enumerate() {
            let lock = locker.lock(&key);
            waiting.push(tokio::spawn(async move { lock.acquire().await.unwrap() }));
            let site = site.named(["first", "second"][n]);
            super::until_waiting(&mut witness, &site, 1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Somebody else asks.
        let seen = status_of(&lockers[1], &key).await.unwrap();
        assert_eq!(seen.mode, Mode::Shared);
        let [holder] = &seen.holders[..] else { panic!("{seen:?}") };
        // Another session of that locker may just have looked.
        let pid = "SELECT a.pid::int8 FROM pg_stat_activity a JOIN pg_locks l USING (pid) \
                   WHERE a.application_name = $1 AND l.locktype = 'advisory' AND l.granted";
        let pid = witness.number(pid, &site.named("theirs")).await;
        let name = &site.named("theirs").name;
        let who = format!("pid {pid}, application {name:?}, user dlock, 127.0.0.1");
        assert_eq!((&holder.who, holder.held_for), (&who, None));
        let [first, second] = &seen.waiters[..] else { panic!("{seen:?}") };
        assert!(first.who.contains(&site.named("first").name), "{seen:?}");
        assert!(second.who.starts_with("this process, pid "), "{seen:?}");
        let since = [first.held_for.unwrap(), second.held_for.unwrap()];
        assert!(since[0] >= since[1] + Duration::from_millis(100), "{seen:?}");
        assert!(since[0] < SOON, "{seen:?}");
        // The holder's own locker knows since when, and what the key was called.
        let seen = status_of(&theirs, &key).await.unwrap();
        assert_eq!(seen.key, key);
        assert!(seen.holders[0].who.starts_with("this process, pid "), "{seen:?}");
        assert!(seen.holders[0].held_for.unwrap() >= since[0], "{seen:?}");
        held.release().await.unwrap();
        for waiting in waiting {
            waiting.await.unwrap().release().await.unwrap();
        }
        assert_eq!(status_of(&theirs, &key).await, None);
    }
}

pub(crate) async fn shows_each_reader_once(site: Site) {
    let lockers = [site.named("a").locker().await, site.named("b").locker().await];
    let key = Key::native(fastrand::i64(..));
    let mut guards = Vec::new();
    for locker in &lockers {
        for _ in 0..2 {
            guards.push(locker.lock(&key).shared().acquire().await.unwrap());
        }
    }
    let seen = status_of(&lockers[0], &key).await.unwrap();
    assert_eq!((seen.mode, seen.waiters.len()), (Mode::Shared, 0));
    // By hand, a session can have it in both modes.
    let mut witness = Witness::at(&site.url).await;
    drop(guards);
    let native = lockers[0].explain(&key).native;
    let both = format!("SELECT pg_advisory_lock({native}), pg_advisory_lock_shared({native})");
    eventually_async("the guards are gone", SOON, async || {
        status_of(&lockers[0], &key).await.is_none()
    })
    .await;
    witness.run(&both).await;
    let seen = status_of(&lockers[0], &key).await.unwrap();
    assert_eq!((seen.mode, seen.holders.len()), (Mode::Exclusive, 1), "{seen:?}");
}

/// Another database of the server, and a transaction without a session.
pub(crate) async fn is_about_this_database_only(site: Site) {
    let Some(server) = Server::like(&site, &["max_prepared_transactions=2"]) else { return };
    let site = Site::at(server.url());
    let mut witness = Witness::at(&site.url).await;
    witness.run("CREATE DATABASE other").await;
    let (server, _) = site.url.rsplit_once('/').unwrap();
    let elsewhere = site.through(&format!("{server}/other")).locker().await;
    let here = site.named("here").locker().await;
    let key = Key::native(7);
    let held = elsewhere.lock(&key).acquire().await.unwrap();
    assert_eq!(here.status().await.unwrap(), []);
    assert_eq!(by_hand(&site, &here, &key).await, 0);
    let ours = here.lock(&key).try_acquire().await.unwrap().unwrap();
    ours.verify().await.unwrap();
    assert_eq!(here.status().await.unwrap().len(), 1);
    assert_eq!(elsewhere.status().await.unwrap().len(), 1);
    ours.release().await.unwrap();
    held.release().await.unwrap();

    witness.run("BEGIN; SELECT pg_advisory_xact_lock(7); PREPARE TRANSACTION 'gid'").await;
    let seen = status_of(&here, &key).await.unwrap();
    assert_eq!(seen.holders[0].who, "a prepared transaction");
    assert_eq!(by_hand(&site, &here, &key).await, 1);
    assert!(here.lock(&key).try_acquire().await.unwrap().is_none());
    witness.run("ROLLBACK PREPARED 'gid'").await;
    assert_eq!(here.status().await.unwrap(), []);
}

/// Everybody may see who holds a lock, if not from where.
pub(crate) async fn can_be_asked_without_rights(site: Site) {
    let role = site.name.replace('-', "_");
    let mut witness = Witness::at(&site.url).await;
    witness.run(&format!("CREATE ROLE {role} LOGIN")).await;
    let (_, rest) = site.url.rsplit_once('@').unwrap();
    let nobody = site.named("nobody").through(&format!("postgres://{role}@{rest}")).locker().await;
    let held = site.locker().await.lock("k").acquire().await.unwrap();
    let seen = status_of(&nobody, &Key::from("k")).await;
    let who = seen.unwrap().holders.pop().unwrap().who;
    assert!(who.ends_with(&format!("application {:?}, user dlock", site.name)), "{who}");
    let report = nobody.check().await.unwrap();
    assert_eq!(report.findings, [], "{report}");
    held.release().await.unwrap();
    nobody.close().await;
    witness.run(&format!("DROP ROLE {role}")).await;
}

pub(crate) async fn timeout_names_the_holder(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    let lock = ours.lock("k").timeout(Duration::from_millis(100));
    let error = timeout_with_holder(&lock).await;
    assert!(error.to_string().contains(&site.named("theirs").name), "{error}");
    assert!(error.to_string().contains("application"), "{error}");
    held.release().await.unwrap();
}

/// How many rows the statement of `explain` returns to somebody with nothing but a connection.
async fn by_hand(site: &Site, locker: &Locker, key: &Key) -> usize {
    let sql = locker.explain(key).sql;
    let mut connection = PgConnection::connect(&site.url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap().len()
}

pub(crate) async fn explained_by_a_statement(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let pair = (fastrand::i32(..0), fastrand::i32(..0));
    let id = i64::from(pair.0) << 32 | i64::from(pair.1.cast_unsigned());
    let [pair, id] = [Key::pair(pair.0, pair.1), Key::native(id)];
    for (key, other) in [(&pair, &id), (&id, &pair)] {
        assert_eq!(by_hand(&site, &ours, key).await, 0);
        let one = ours.lock(key).shared().acquire().await.unwrap();
        assert_eq!(by_hand(&site, &ours, key).await, 1);
        assert_eq!(by_hand(&site, &ours, other).await, 0);
        let two = theirs.lock(key).shared().acquire().await.unwrap();
        assert_eq!(by_hand(&site, &ours, key).await, 2);
        one.release().await.unwrap();
        two.release().await.unwrap();
        assert_eq!(by_hand(&site, &ours, key).await, 0);
    }
}
