//! The checker of histories can fail.

use std::time::Duration;

use dlock_tests::Temp;
use dlock_tests::history::{self, Hold};

#[test]
fn finds_what_must_not_be() {
    let hold = |who: &str, key: &str, from: u64, until: u64, lost: bool| {
        let ms = 1_000_000;
        let (who, key, fence) = (who.into(), key.into(), None);
        Hold { who, key, fence, from: from * ms, until: until * ms, lost }
    };
    let grace = Duration::from_millis(10);
    let good = [
        hold("a", "k", 0, 10, false),
        hold("b", "k", 10, 20, false),
        hold("b", "other", 5, 15, false),
        // Lost, and only told so a little after the next one came.
        hold("a", "k", 20, 35, true),
        hold("b", "k", 30, 40, false),
        hold("c", "k", 41, 41, true),
    ];
    history::verify(&good, grace).unwrap();
    history::verify(&good, Duration::ZERO).unwrap_err();
    let bad = [
        hold("c", "k", 9, 12, false),
        hold("c", "k", 0, 100, false),
        hold("c", "k", 12, 13, false),
        hold("c", "k", 39, 50, false),
        hold("c", "k", 15, 45, true),
        hold("c", "other", 0, 6, false),
    ];
    for one in bad {
        let holds: Vec<Hold> = good.iter().cloned().chain([one.clone()]).collect();
        assert!(history::verify(&holds, grace).is_err(), "not found: {one:?}");
    }
}

/// Tokens that repeat or go back.
#[test]
fn finds_what_a_fence_must_not_do() {
    let hold = |key: &str, from: u64, fence: u64| {
        let (who, key, fence) = ("a".into(), key.into(), Some(fence));
        Hold { who, key, fence, from, until: from + 1, lost: from == 3 }
    };
    let good = [hold("k", 5, 9), hold("k", 1, 2), hold("k", 3, 4), hold("other", 4, 1)];
    history::verify_fences(&good).unwrap();
    let none = Hold { fence: None, ..hold("k", 8, 0) };
    for bad in [hold("k", 6, 9), hold("k", 6, 8), hold("k", 0, 3), hold("other", 2, 1), none] {
        let holds: Vec<Hold> = good.iter().cloned().chain([bad.clone()]).collect();
        history::verify_fences(&holds).expect_err(&format!("not found: {bad:?}"));
    }
}

/// The same from files.
#[test]
fn reads_what_the_holders_wrote() {
    let folder = Temp::new();
    let write = |name: &str, text: &str| std::fs::write(folder.file(name), text).unwrap();
    let read = |name: &str, killed| history::read(&folder.file(name), name, killed);
    write("a", "+ 0 100 k 7\n* 0 150 \n- 0 200 \n+ 1 300 k\n* 1 350 \n! 1 900 \n");
    write("b", "+ 0 400 k\n* 0 600 \n");
    write("c", "+ 0 590 k\n- 0 610 \n");
    let [a, b, c] = [read("a", false), read("b", true), read("c", false)];
    assert_eq!((a[0].until, a[0].lost, a[1].until, a[1].lost), (200, false, 350, true));
    assert_eq!((a[0].fence, a[1].fence), (Some(7), None));
    assert_eq!((b[0].until, b[0].lost), (600, true));
    history::verify(&[a.clone(), b.clone()].concat(), Duration::ZERO).unwrap();
    history::verify(&[a, c.clone()].concat(), Duration::ZERO).unwrap();
    history::verify(&[b, c].concat(), Duration::ZERO).unwrap_err();
}
