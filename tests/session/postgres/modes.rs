//! Shared and exclusive locks, of 64-bit keys and of pairs.

use dlock::{Key, Mode};
use dlock_tests::{Site, Witness};

const MODES: [Mode; 2] = [Mode::Exclusive, Mode::Shared];

/// A key of each kind that no other test has: pairs have no namespace.
fn keys() -> [(Key, String); 3] {
    let (id, a, b) = (fastrand::i64(..), fastrand::i32(..), fastrand::i32(i32::MIN..0));
    [
        (Key::native(id), format!("{id}")),
        (Key::pair(a, b), format!("{a}, {b}")),
        (Key::pair(b, a), format!("{b}, {a}")),
    ]
}

fn both_ways() -> impl Iterator<Item = (Mode, Mode)> {
    MODES.into_iter().flat_map(|a| MODES.map(|b| (a, b)))
}

pub(crate) async fn go_together_as_mode_says(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    for (key, _) in keys() {
        for (a, b) in both_ways() {
            let held = ours.lock(&key).mode(a).acquire().await.unwrap();
            let together = a.is_compatible_with(b);
            for locker in [&ours, &theirs] {
                let other = locker.lock(&key).mode(b).try_acquire().await.unwrap();
                assert_eq!(other.is_some(), together, "{b} while {key} is held {a}");
                if let Some(other) = other {
                    other.verify().await.unwrap();
                    other.release().await.unwrap();
                }
                held.verify().await.unwrap();
            }
            held.release().await.unwrap();
        }
    }
    let mut witness = Witness::at(&site.url).await;
    assert_eq!(witness.locks(&site).await + witness.locks(&site.named("theirs")).await, 0);
}

pub(crate) async fn exclude_what_is_taken_by_hand(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    let suffix = |mode| if mode == Mode::Shared { "_shared" } else { "" };
    for (key, args) in keys() {
        for (by_hand, ours) in both_ways() {
            let (name, together) = (suffix(by_hand), by_hand.is_compatible_with(ours));
            witness.run(&format!("SELECT pg_advisory_lock{name}({args})")).await;
            let lock = locker.lock(&key).mode(ours);
            let got = lock.try_acquire().await.unwrap();
            assert_eq!(got.is_some(), together, "{ours} while {key} is held {by_hand} by hand");
            drop(got);
            witness.run(&format!("SELECT pg_advisory_unlock{name}({args})")).await;

            let guard = lock.acquire().await.unwrap();
            let sql = format!(
                "SELECT pg_try_advisory_lock{name}({args})::int::int8 WHERE $1::text IS NOT NULL"
            );
            let got = witness.number(&sql, &site).await;
            assert_eq!(got == 1, together, "{by_hand} by hand while {key} is held {ours}");
            witness.run("SELECT pg_advisory_unlock_all()").await;
            guard.release().await.unwrap();
        }
    }
}

pub(crate) async fn waits_are_in_the_mode_that_was_asked_for(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let mut witness = Witness::at(&site.url).await;
    for (key, _) in keys() {
        for mode in MODES {
            let held = theirs.lock(&key).acquire().await.unwrap();
            let lock = ours.lock(&key).mode(mode);
            let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
            super::until_waiting(&mut witness, &site, 1).await;
            held.release().await.unwrap();
            let guard = waiting.await.unwrap();
            guard.verify().await.unwrap();
            for (other, together) in MODES.map(|other| (other, other.is_compatible_with(mode))) {
                let got = theirs.lock(&key).mode(other).try_acquire().await.unwrap();
                assert_eq!(got.is_some(), together, "{other} while {key} is held {mode}");
            }
            guard.release().await.unwrap();
        }
    }
}

/// The same numbers: as a pair, and as the one number whose halves they are.
pub(crate) async fn pairs_and_ids_never_meet(site: Site) {
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    for (a, b) in [(0, fastrand::i32(..)), (-1, fastrand::i32(..0)), (fastrand::i32(..), -1)] {
        let pair = ours.lock(Key::pair(a, b)).acquire().await.unwrap();
        let id = i64::from(a) << 32 | i64::from(b.cast_unsigned());
        for locker in [&ours, &theirs] {
            let lock = locker.lock(Key::native(id));
            lock.try_acquire().await.unwrap().unwrap().release().await.unwrap();
        }
        assert!(theirs.lock(Key::pair(a, b)).try_acquire().await.unwrap().is_none());
        let swapped = theirs.lock(Key::pair(b, a)).try_acquire().await.unwrap();
        swapped.unwrap().release().await.unwrap();
        pair.release().await.unwrap();
    }
}

/// The contract with other programs, and with those who look into `pg_locks`.
pub(crate) async fn are_shown_as_the_manual_says(site: Site) {
    let locker = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    for (a, b) in [(-1, -2), (i32::MIN, i32::MAX), (0, 7), (fastrand::i32(..), fastrand::i32(..))] {
        for (mode, shown) in [(Mode::Exclusive, "ExclusiveLock"), (Mode::Shared, "ShareLock")] {
            let guard = locker.lock(Key::pair(a, b)).mode(mode).acquire().await.unwrap();
            let sql = format!(
                "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                WHERE objsubid = 2 AND classid::int8::bit(32)::int4 = {a} \
                AND objid::int8::bit(32)::int4 = {b} AND mode = '{shown}' AND granted \
                AND application_name = $1"
            );
            assert_eq!(witness.number(&sql, &site).await, 1, "({a}, {b}) {mode}");
            assert_eq!(witness.locks(&site).await, 1);
            guard.verify().await.unwrap();
            guard.release().await.unwrap();
            assert_eq!(witness.locks(&site).await, 0);
        }
    }
}
