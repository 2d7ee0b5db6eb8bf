//! Histories as they must not be, by hand: each is found, and found for what it is. Each begins as a
//! good one, so that a checker that always complains fails as well.

use std::time::Duration;

use dlock_tests::random::read;

use super::{Kind, Setting, check};

/// What is wrong with a journal whose times are in milliseconds. Each line says a time, a process, a
/// call and what; a call `asks` on locker `lN` for N the process, `under` as it stands.
fn found(text: &str) -> Vec<Kind> {
    found_on(text, false)
}

fn found_on(text: &str, leases: bool) -> Vec<Kind> {
    let mut journal = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().unwrap();
        // Some time after the start of the machine.
        let at = 1_000_000_000_000 + (word().parse::<f64>().unwrap() * 1e6) as u64;
        let (process, call, what) = (word(), word(), word());
        let what = match what.split_once(' ') {
            Some(("asks", rest)) => format!("asks l{process} free {rest}"),
            Some(("nested", rest)) => format!("asks l{process} under {rest}"),
            _ => what.to_owned(),
        };
        journal.push_str(&format!("{at} {process} {call} {what}\n"));
    }
    let setting = Setting { ttl: Duration::from_secs(2), leases, slack: Duration::ZERO };
    let mut kinds: Vec<Kind> =
        check(&read(&journal), setting).into_iter().map(|violation| violation.kind).collect();
    kinds.dedup();
    kinds
}

fn good(text: &str) {
    assert_eq!(found(text), [], "{text}");
}

fn bad(text: &str, kind: Kind) {
    assert_eq!(found(text), [kind], "{text}");
}

/// `base` with a line of it put in place of another.
fn but(base: &str, old: &str, new: &str) -> String {
    assert!(base.contains(old), "{old}");
    base.replace(old, new)
}

const TWO: &str = "
    0 0 0.0 asks keys=1 wait=500
    1 0 0.0 holds
    2 1 0.0 asks keys=1 wait=500
    9 0 0.0 holds
    9 0 0.0 releases
    10 0 0.0 free
    11 1 0.0 holds
    15 1 0.0 holds
    15 1 0.0 releases
    16 1 0.0 free";

#[test]
fn two_holders() {
    good(TWO);
    bad(&but(TWO, "11 1 0.0 holds", "8 1 0.0 holds"), Kind::Exclusion);
    // On another key there is nothing wrong with it.
    good(&but(
        &but(TWO, "11 1 0.0 holds", "8 1 0.0 holds"),
        "1 0.0 asks keys=1",
        "1 0.0 asks keys=2",
    ));
}

/// One that is told first may be overtaken; one that works on and is told later may not.
#[test]
fn told_too_late() {
    let lost = "
        0 0 0.0 asks keys=1 wait=500
        1 0 0.0 holds
        100 1 0.0 freezes
        105 0 0.0 holds
        4000 0 0.0 told
        4000 0 0.0 releases
        2 1 0.0 asks keys=1 wait=5000
        2500 1 0.0 holds
        2600 1 0.0 holds
        2600 1 0.0 releases
        2601 1 0.0 free";
    good(lost);
    bad(&but(lost, "105 0 0.0 holds", "2550 0 0.0 holds"), Kind::Exclusion);
}

#[test]
fn readers_and_writers() {
    let readers = but(&but(TWO, "keys=1", "keys=1 shared"), "11 1 0.0 holds", "8 1 0.0 holds");
    good(&readers);
    let mixed = readers.replacen("keys=1 shared", "keys=1", 1);
    bad(&mixed, Kind::Exclusion);
}

#[test]
fn more_than_there_are_permits() {
    let mut text = String::new();
    for n in 0..3 {
        text.push_str(&format!(
            "{n} {n} 0.0 asks keys=1 permits=3\n {} {n} 0.0 holds\n 20 {n} 0.0 holds\n \
             20 {n} 0.0 releases\n 21 {n} 0.0 free\n",
            n + 1,
        ));
    }
    good(&text);
    bad(&text.replace("permits=3", "permits=2"), Kind::Exclusion);
    // A plain lock takes the first of them, and so do not two.
    good(&text.replacen("permits=3", "", 1));
    bad(&text.replacen("permits=3", "", 2), Kind::Exclusion);
}

#[test]
fn min_hold() {
    let kept = but(TWO, "0 0 0.0 asks keys=1", "0 0 0.0 asks keys=1 min_hold=11");
    good(&kept);
    bad(&but(&kept, "min_hold=11", "min_hold=100"), Kind::MinHold);
    // It counts from the grant, which comes after the hold before it.
    let after = but(TWO, "2 1 0.0 asks keys=1", "2 1 0.0 asks keys=1 min_hold=500");
    let third = "
        17 2 0.0 asks keys=1 wait=900
        503 2 0.0 holds
        510 2 0.0 releases
        511 2 0.0 free";
    bad(&format!("{after}{third}"), Kind::MinHold);
    good(&format!(
        "{after}{}",
        but(third, "503 2", "509 2").replace("510 2", "512 2").replace("511 2", "513 2")
    ));
    // The death of its process ends it on sessions; a lease that was given back stays.
    let gone = format!("{}\n 10.5 0 process exited", but(&kept, "min_hold=11", "min_hold=100"));
    good(&gone);
    assert_eq!(found_on(&gone, true), [Kind::MinHold]);
}

#[test]
fn fences() {
    let fenced =
        but(&but(TWO, "1 0 0.0 holds", "1 0 0.0 holds 5"), "11 1 0.0 holds", "11 1 0.0 holds 6");
    good(&fenced);
    bad(&but(&fenced, "holds 6", "holds 5"), Kind::Fence);
    bad(&but(&fenced, "holds 6", "holds 4"), Kind::Fence);
    bad(&but(TWO, "keys=1", "keys=1 fenced"), Kind::Fence);
    bad(&but(&fenced, "keys=1", "keys=1 permits=2"), Kind::Fence);
}

const REFUSED: &str = "
    0 0 0.0 asks keys=1
    1 0 0.0 holds
    2 1 0.0 asks keys=1 how=try
    3 1 0.0 busy
    9 0 0.0 holds
    9 0 0.0 releases
    10 0 0.0 free";

#[test]
fn false_busy() {
    good(REFUSED);
    let later = but(&but(REFUSED, "2 1 0.0", "11 1 0.0"), "3 1 0.0", "12 1 0.0");
    bad(&later, Kind::FalseBusy);
    // For shared ones a reader is no reason.
    bad(&but(REFUSED, "keys=1", "keys=1 shared"), Kind::FalseBusy);
    // For one of two permits one holder is none.
    bad(&but(REFUSED, "keys=1", "keys=1 permits=2"), Kind::FalseBusy);
    // Who was dropped lets go soon, and who was cancelled.
    good(&but(&but(&later, "9 0 0.0 releases", "9 0 0.0 drops"), "10 0 0.0 free", ""));
    // Its own min_hold keeps it.
    good(&but(&later, "0 0 0.0 asks keys=1", "0 0 0.0 asks keys=1 min_hold=100"));
    // One that was never given keeps nothing, however long it would have.
    let cancelled = "
        0 0 0.0 asks keys=1 min_hold=3600000
        5 0 0.0 cancelled
        6 1 0.0 asks keys=1 how=try
        7 1 0.0 busy";
    good(cancelled);
    let late = but(&but(cancelled, "6 1", "3006 1"), "7 1", "3007 1");
    bad(&late, Kind::FalseBusy);
    // A lease that was asked for as its process went may have been granted, and nobody is left to give it back.
    let gone = but(&late, "5 0 0.0 cancelled", "5 0 0.0 cancelled\n 6 0 process exited");
    assert_eq!(found_on(&gone, true), []);
    bad(&gone, Kind::FalseBusy);
    let lived = but(&late, "5 0 0.0 cancelled", "5 0 0.0 cancelled\n 2900 0 process exited");
    assert_eq!(found_on(&lived, true), [Kind::FalseBusy]);
    // A time-out needs a holder, too.
    let timeout = "
        0 0 0.0 asks keys=1 wait=500
        501 0 0.0 timeout Database";
    bad(timeout, Kind::FalseBusy);
}

#[test]
fn waits_for_what_is_free() {
    let waits = but(&but(TWO, "wait=500", "wait=9000"), "11 1 0.0 holds", "3500 1 0.0 holds");
    let waits =
        but(&but(&waits, "15 1 0.0 holds", "3501 1 0.0 holds"), "15 1 0.0 rel", "3501 1 0.0 rel");
    let waits = but(&waits, "16 1 0.0 free", "3502 1 0.0 free");
    bad(&waits, Kind::WaitedThoughFree);
    good(&but(&waits, "10 0 0.0 free", "1500 0 0.0 free"));
    // Another one that waits is no reason.
    let third = "\n3 2 0.0 asks keys=1 wait=9000\n 7600 2 0.0 holds\n 7601 2 0.0 releases\n 7602 2 0.0 free";
    assert!(found(&format!("{waits}{third}")).contains(&Kind::WaitedThoughFree));
}

#[test]
fn times() {
    let timeout = format!("{REFUSED}\n 1 2 0.0 asks keys=1 wait=7\n 8.5 2 0.0 timeout Database");
    good(&timeout);
    bad(&but(&timeout, "wait=7", "wait=10"), Kind::TooEarly);
    let long = but(&but(&timeout, "8.5 2", "3500 2"), "10 0 0.0 free", "3499 0 0.0 free");
    bad(&long, Kind::TooLate);
    // Unless it stood still.
    good(&format!("{long}\n 10 2 process freezes\n 3400 2 process thaws"));
}

#[test]
fn no_answer() {
    let open = "0 0 0.0 asks keys=1 wait=500";
    bad(open, Kind::Unanswered);
    good(&format!("{open}\n 5 0 process exited"));
    bad(&format!("{open}\n 4 0 process stuck\n 5 0 process exited"), Kind::Unanswered);
    bad(&but(REFUSED, "10 0 0.0 free", ""), Kind::Unanswered);
    bad("0 0 0.0 status", Kind::Unanswered);
    good("0 0 0.0 status\n 5 0 0.0 answered");
}

#[test]
fn errors() {
    let failed = "0 0 0.0 asks keys=1\n 5 0 0.0 failed Unavailable no answer";
    bad(failed, Kind::Unexplained);
    good(&format!("{failed}\n 1 0 server cuts\n 2 0 server has_cut"));
    let closed = but(failed, "Unavailable", "Closed");
    bad(&closed, Kind::Unexplained);
    good(&format!("{closed}\n 1 0 l0 closes\n 2 0 l0 closed"));
}

#[test]
fn on_lost() {
    let lost = "
        0 0 0.0 asks keys=1 on_lost
        1 0 0.0 holds
        2 0 0.0 told
        2.5 0 0.0 callback
        3 0 0.0 drops
        9000 0 process exited";
    good(lost);
    bad(&but(lost, "2.5 0 0.0 callback", ""), Kind::OnLost);
    bad(&format!("{lost}\n 4 0 0.0 callback"), Kind::OnLost);
    bad("0 0 0.0 asks keys=1\n 1 0 0.0 cancelled\n 2 0 0.0 callback", Kind::OnLost);
    let late = format!("{REFUSED}\n 9.5 0 0.0 callback");
    bad(&late, Kind::OnLost);
    good(&late.replacen("keys=1", "keys=1 how=run", 1));
}

#[test]
fn reentrancy() {
    let nested = |words: &str, came: &str| {
        format!(
            "0 0 0.0 asks keys=1 how=run\n 1 0 0.0 holds\n 2 0 0.0/0 nested keys=1 {words}\n {came}\n \
             8 0 0.0 holds\n 8 0 0.0 releases\n 9 0 0.0 free"
        )
    };
    let granted = "3 0 0.0/0 holds\n 4 0 0.0/0 holds\n 4 0 0.0/0 releases\n 5 0 0.0/0 free";
    let refused = "3 0 0.0/0 failed Reentrant already held";
    good(&nested("reentrant", granted));
    good(&nested("", refused));
    bad(&nested("reentrant", refused), Kind::Reentrancy);
    bad(&nested("", "3 0 0.0/0 busy"), Kind::Reentrancy);
    // Two grants of one key at once.
    assert_eq!(found(&nested("", granted)), [Kind::Exclusion, Kind::Reentrancy]);
}

#[test]
fn stages() {
    let wrong = format!("{REFUSED}\n 1 0 1.0 asks keys=1 wait=7\n 8.5 0 1.0 timeout Process");
    good(&wrong);
    // The only other one that had to do with it is in this process.
    let alone = "
        0 0 0.0 asks keys=1
        1 0 0.0 holds
        2 0 1.0 asks keys=1 wait=5
        7.5 0 1.0 timeout Process
        9 0 0.0 holds
        9 0 0.0 releases
        10 0 0.0 free";
    good(alone);
    bad(&but(alone, "timeout Process", "timeout Database"), Kind::Stage);
}
