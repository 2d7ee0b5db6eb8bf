//! The ledger beside a server that counts.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::*;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

const DATABASE: Database = "postgres";

fn session(id: i64) -> Session {
    Session { id, born: "b".into() }
}

fn lock_id(id: i64, mode: Mode) -> LockId {
    LockId { key: NativeKey::Id(id), mode }
}

#[test]
fn counts_and_forgets() {
    let (mut ledger, place, it) = (Ledger::default(), 7, session(1));
    let (one, shared) = (lock_id(1, Mode::Exclusive), lock_id(1, Mode::Shared));
    assert_eq!(ledger.look(DATABASE, &it, &one), Holding::Not);
    ledger.granted(DATABASE, &it, place, &one);
    ledger.granted(DATABASE, &it, place, &one);
    assert_eq!(ledger.look(DATABASE, &it, &one), Holding::SameMode);
    assert_eq!(ledger.look(DATABASE, &it, &shared), Holding::OtherMode);
    assert_eq!(ledger.look(DATABASE, &session(2), &one), Holding::Not);
    assert_eq!(ledger.session_at(place), Some(&it));
    assert!(ledger.is_elsewhere(DATABASE, &it, place + 1));
    ledger.add_unreleased(DATABASE, &it, &one);
    ledger.add_unreleased(DATABASE, &it, &one);
    assert_eq!(ledger.unreleased_behind(DATABASE, &it, &one, 1), 0, "another is held");
    assert_eq!(ledger.unreleased_behind(DATABASE, &it, &one, 2), 2);
    assert!(ledger.payable(DATABASE, &it).is_empty());
    ledger.giving(DATABASE, &it, &one);
    ledger.giving(DATABASE, &it, &one);
    assert_eq!(ledger.payable(DATABASE, &it), [(one.clone(), 4)]);
    ledger.not_given(DATABASE, &it, &one);
    assert_eq!(ledger.held(DATABASE, &it, &one), 1);
    ledger.giving(DATABASE, &it, &one);
    ledger.paid(DATABASE, &it, &one, 4);
    assert!(ledger.accounts.is_empty() && ledger.places.is_empty());
}

#[test]
fn another_session_at_the_same_place_has_nothing_of_the_first() {
    let mut ledger = Ledger::default();
    let one = lock_id(1, Mode::Exclusive);
    ledger.granted(DATABASE, &session(1), 7, &one);
    ledger.granted(DATABASE, &session(2), 7, &one);
    assert_eq!(ledger.held(DATABASE, &session(2), &one), 1);
    assert_eq!(ledger.session_at(7), Some(&session(2)));
    ledger.ended(DATABASE, &session(2));
    assert_eq!(ledger.held(DATABASE, &session(1), &one), 1);
}

#[test]
fn debts_of_nobody_knows_which_are_looked_for_and_no_longer_than_it_pays() {
    let mut ledger = Ledger::default();
    let one = lock_id(1, Mode::Exclusive);
    ledger.add_unreleased_somewhere(DATABASE, &one, None);
    ledger.suspect(DATABASE, &session(1), 7);
    assert_eq!(ledger.payable(DATABASE, &session(1)), [(one.clone(), 1)]);
    ledger.found(DATABASE, &one);
    assert!(!ledger.is_searching(DATABASE, 7));
    ledger.add_unreleased_somewhere(DATABASE, &one, None);
    for _ in 0..SEARCHES_MAX {
        assert!(ledger.is_searching(DATABASE, 7));
        ledger.suspect(DATABASE, &session(2), 7);
    }
    assert!(!ledger.is_searching(DATABASE, 7));
    // Of a connection that goes nowhere: only there, and once.
    ledger.add_unreleased_somewhere(DATABASE, &one, Some(8));
    assert!(!ledger.is_searching(DATABASE, 7));
    ledger.suspect(DATABASE, &session(3), 8);
    assert_eq!(ledger.payable(DATABASE, &session(3)), [(one, 1)]);
    assert!(!ledger.is_searching(DATABASE, 8));
}

#[test]
fn sessions_that_are_gone_for_good_are_forgotten() {
    let mut ledger = Ledger::default();
    for id in 0..DEBTORS_MAX as i64 + 100 {
        ledger.add_unreleased(DATABASE, &session(id), &lock_id(1, Mode::Exclusive));
    }
    assert_eq!(ledger.accounts.len(), DEBTORS_MAX);
    assert!(ledger.payable(DATABASE, &session(0)).is_empty());
}

/// A server's session: what it was told, in that order, and what it has counted.
#[derive(Default)]
struct Server {
    counts: BTreeMap<i64, usize>,
}

impl Server {
    fn count(&mut self, key: i64) -> &mut usize {
        self.counts.entry(key).or_default()
    }

    fn release_held(&mut self, key: i64) {
        let count = self.count(key);
        *count = count.saturating_sub(1);
    }
}

/// Whatever answers are lost, and whatever is not done of what was sent: what is held here the
/// server holds, and when nothing is, one payment leaves nothing.
#[test]
fn agrees_with_a_server_whose_answers_are_lost() {
    const KEYS: i64 = 3;
    let seed = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("DLOCK_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    for round in 0..3_000 {
        let (mut ledger, mut server, it) = (Ledger::default(), Server::default(), session(1));
        for _ in 0..random.u8(1..20) {
            let key = random.i64(0..KEYS);
            let lock_id = lock_id(key, Mode::Exclusive);
            // Not done: the transaction has failed, or somebody has stopped it.
            let (done, answered) = (random.u8(0..5) > 0, random.bool());
            match random.u8(0..3) {
                0 => {
                    *server.count(key) += usize::from(done);
                    match answered {
                        true if done => ledger.granted(DATABASE, &it, 1, &lock_id),
                        true => {}
                        false => ledger.add_unreleased(DATABASE, &it, &lock_id),
                    }
                }
                1 if ledger.held(DATABASE, &it, &lock_id) > 0 => {
                    ledger.giving(DATABASE, &it, &lock_id);
                    let behind = ledger.unreleased_behind(DATABASE, &it, &lock_id, 0);
                    let times = behind.max(1);
                    if done {
                        (0..times).for_each(|_| server.release_held(key));
                    }
                    match (answered, done) {
                        (true, true) => ledger.paid(DATABASE, &it, &lock_id, times),
                        (true, false) => ledger.not_given(DATABASE, &it, &lock_id),
                        (false, _) => {}
                    }
                }
                2 => {
                    for (lock_id, times) in ledger.payable(DATABASE, &it) {
                        let NativeKey::Id(key) = lock_id.key else { continue };
                        if done {
                            (0..times).for_each(|_| server.release_held(key));
                        }
                        if done && answered {
                            ledger.paid(DATABASE, &it, &lock_id, times);
                        }
                    }
                }
                _ => {}
            }
            for key in 0..KEYS {
                let held = ledger.held(DATABASE, &it, &super::tests::lock_id(key, Mode::Exclusive));
                assert!(*server.count(key) >= held, "round {round}: taken away");
            }
        }
        for key in 0..KEYS {
            let lock_id = super::tests::lock_id(key, Mode::Exclusive);
            while ledger.held(DATABASE, &it, &lock_id) > 0 {
                ledger.giving(DATABASE, &it, &lock_id);
                server.release_held(key);
                ledger.paid(DATABASE, &it, &lock_id, 1);
            }
        }
        for (lock_id, times) in ledger.payable(DATABASE, &it) {
            let NativeKey::Id(key) = lock_id.key else { continue };
            (0..times).for_each(|_| server.release_held(key));
            ledger.paid(DATABASE, &it, &lock_id, times);
        }
        assert!(server.counts.values().all(|count| *count == 0), "round {round}: left behind");
        assert!(ledger.accounts.is_empty(), "round {round}");
    }
}
