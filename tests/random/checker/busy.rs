//! Nobody is told "busy", and nobody waits, for what nobody else can have held.

use dlock_tests::random::{Outcome, Patience};

use super::exclusion::name;
use super::history::{Call, History, Span};
use super::{Bounds, Kind, MS, Violation};

pub(super) fn check(
    history: &History,
    possible: &[Span],
    bounds: Bounds,
    found: &mut Vec<Violation>,
) {
    for (n, call) in history.calls.iter().enumerate() {
        let busy = match &call.ended {
            Some((at, Outcome::Busy | Outcome::Timeout(_))) if call.granted.is_none() => Some(*at),
            _ => None,
        };
        if let Some(at) = busy {
            let others = others(history, possible, n);
            let excused = |key: &u8| is_excused(call, *key, &others, (call.began, at));
            if !is_hurried(call, bounds) && !call.take.keys.iter().any(excused) {
                let last = last_before(&others, call.began);
                let text = format!(
                    "{} was told \"{}\" after {} ms, and {}",
                    name(call),
                    call.ended.as_ref().map_or("", |(_, outcome)| match outcome {
                        Outcome::Busy => "busy",
                        _ => "timeout",
                    }),
                    (at - call.began) / MS,
                    nobody(call, &others, (call.began, at)),
                );
                let calls: Vec<&Call> = [call].into_iter().chain(last).collect();
                let mut violation = Violation::new(Kind::FalseBusy, &calls, text);
                if others.iter().any(|(other, _)| was_withdrawn(other, call.began)) {
                    violation.about.insert("withdrawn");
                }
                found.push(violation);
            }
            stage(call, at, &others, found);
        }
        waited(history, possible, n, bounds, found);
    }
}

/// Whether it was given up, before this time, with a `min_hold` that nobody was to keep.
fn was_withdrawn(other: &Call, at: u64) -> bool {
    let cancelled = matches!(&other.ended, Some((end, Outcome::Cancelled)) if *end < at);
    cancelled && other.granted.is_none() && other.take.min_hold > 0
}

/// Whether its time may be over before it has looked at all permits, one after the other: of those
/// some are taken, and a slow answer is no wrong one.
fn is_hurried(call: &Call, bounds: Bounds) -> bool {
    let short = matches!(call.take.wait, Patience::For(wait) if wait * MS < bounds.grace);
    call.room() > 1 && short && !call.take.how.is_try()
}

/// Another call, and when it can have held one of the keys.
type Other<'a> = (&'a Call, Span);

fn others<'a>(history: &'a History, possible: &[Span], n: usize) -> Vec<Other<'a>> {
    let call = &history.calls[n];
    let all = history.calls.iter().zip(possible.iter().copied()).enumerate();
    all.filter(|(m, (other, _))| *m != n && other.meets(call)).map(|(_, other)| other).collect()
}

/// Whether others can have had the key at some time of the span, so that the call could not.
fn is_excused(call: &Call, key: u8, others: &[Other<'_>], span: Span) -> bool {
    let spans = others.iter().filter(|(other, (from, until))| {
        other.take.keys.contains(&key)
            && *from <= span.1
            && *until >= span.0
            && excludes(other, call)
    });
    most_at_once(spans.copied(), span) >= call.room()
}

/// Whether one can keep the other from its key. A try never jumps a queue of those who wait.
fn excludes(other: &Call, call: &Call) -> bool {
    let waits = other.take.wait != Patience::No && !other.take.how.is_try();
    !(other.take.shared && call.take.shared) || waits
}

/// How many grants there can have been at one time of the span.
fn most_at_once<'a>(others: impl Iterator<Item = Other<'a>>, span: Span) -> usize {
    let others: Vec<Other<'_>> = others.collect();
    let starts = others.iter().map(|(_, (from, _))| (*from).max(span.0));
    let at_once = |at: u64| {
        let there = others.iter().filter(|(_, (from, until))| *from <= at && *until >= at);
        let mut grants: Vec<_> = there.map(|(call, _)| call.grant()).collect();
        grants.sort_unstable();
        grants.dedup();
        grants.len()
    };
    starts.map(at_once).max().unwrap_or(0)
}

/// The last that can have held the key before this time.
fn last_before<'a>(others: &[Other<'a>], at: u64) -> Option<&'a Call> {
    let before = others.iter().filter(|(_, (_, until))| *until < at);
    before.max_by_key(|(_, (_, until))| *until).map(|(call, _)| *call)
}

fn nobody(call: &Call, others: &[Other<'_>], span: Span) -> String {
    let spans = others.iter().filter(|(_, (from, until))| *from <= span.1 && *until >= span.0);
    let most = most_at_once(spans.copied(), span);
    let last = last_before(others, span.0);
    let last = last.map_or_else(String::new, |other| format!("; the last was {}", name(other)));
    format!("of {} at most {most} can have been taken by others{last}", call.room())
}

/// Who is said to have it can have had it.
fn stage(call: &Call, at: u64, others: &[Other<'_>], found: &mut Vec<Violation>) {
    let Some((_, Outcome::Timeout(stage))) = &call.ended else { return };
    let there = |(_, (from, until)): &&Other<'_>| *from <= at && *until >= call.began;
    // As a lock goes or comes, neither answer is wrong: so who surely held it for the whole wait.
    let held = |other: &Call| other.sure.is_some_and(|(from, to)| from <= call.began && to >= at);
    let mut held = others.iter().filter(|(other, _)| held(other));
    let held_here = held.clone().any(|(other, _)| other.locker == call.locker);
    let held_elsewhere = held.any(|(other, _)| other.locker != call.locker);
    let here = others.iter().filter(there).any(|(other, _)| other.locker == call.locker);
    let elsewhere = others.iter().filter(there).any(|(other, _)| other.locker != call.locker);
    let wrong = match stage.as_str() {
        "Process" => !here && held_elsewhere,
        "Database" => !elsewhere && held_here,
        _ => false,
    };
    if wrong {
        let text = format!("{} was told that {stage} has the lock", name(call));
        found.push(Violation::new(Kind::Stage, &[call], text));
    }
}

/// Nobody waits long for what is free.
fn waited(
    history: &History,
    possible: &[Span],
    n: usize,
    bounds: Bounds,
    found: &mut Vec<Violation>,
) {
    let call = &history.calls[n];
    if call.take.wait == Patience::No || call.take.how.is_try() {
        return;
    }
    let Some(end) = call.answered() else { return };
    if end - call.began <= bounds.late {
        return;
    }
    let mut blocked: Vec<Span> = Vec::new();
    let others: Vec<Other<'_>> = others(history, possible, n)
        .into_iter()
        .filter_map(|(other, span)| really(other, span, bounds).map(|span| (other, span)))
        .filter(|(other, _)| !(other.take.shared && call.take.shared))
        .collect();
    for (_, (from, _)) in &others {
        // Only at starts can the number that counts be reached.
        let there = |(_, (begin, until)): &&Other<'_>| begin <= from && until >= from;
        let now: Vec<&Other<'_>> = others.iter().filter(there).collect();
        if most_at_once(now.iter().map(|other| **other), (*from, *from)) >= call.room() {
            let mut ends: Vec<u64> = now.iter().map(|(_, (_, until))| *until).collect();
            ends.sort_unstable_by(|a, b| b.cmp(a));
            blocked.push((*from, ends[call.room() - 1]));
        }
    }
    // Who stands still gets nothing, and after an end of sessions they must be made anew.
    let anew = bounds.ttl + bounds.grace;
    for (process, (from, to)) in &history.freezes {
        if *process == call.process {
            blocked.push((*from, to.saturating_add(anew)));
        }
    }
    let stalls = history
        .stalls
        .iter()
        .filter(|(process, (from, _))| *process == call.process && *from != call.began);
    blocked.extend(stalls.map(|(_, span)| *span));
    blocked.extend(history.cuts.iter().map(|(from, to)| (*from, to.saturating_add(anew))));
    blocked.extend(history.closes.get(&call.locker).map(|(from, _)| (*from, u64::MAX)));
    blocked.sort_unstable();
    let mut free_from = call.began;
    for (from, until) in blocked.into_iter().chain([(end, end)]) {
        if from.min(end).saturating_sub(free_from) > bounds.late {
            let last = last_before(&others, from.min(end));
            let calls: Vec<&Call> = [call].into_iter().chain(last).collect();
            let text = format!(
                "{} waited {} ms, though its lock was free for {} ms of them",
                name(call),
                (end - call.began) / MS,
                (from.min(end) - free_from) / MS,
            );
            found.push(Violation::new(Kind::WaitedThoughFree, &calls, text));
            return;
        }
        free_from = free_from.max(until);
    }
}

/// When a call that waited itself can have held its keys: not as long as it waited.
fn really(other: &Call, (from, until): Span, bounds: Bounds) -> Option<Span> {
    let waits = other.take.wait != Patience::No && !other.take.how.is_try();
    if !waits || other.take.together {
        return Some((from, until));
    }
    match (other.granted, &other.ended) {
        (Some(granted), _) => Some((from.max(granted.saturating_sub(bounds.grace)), until)),
        (None, Some((_, Outcome::Timeout(_)))) => None,
        (None, Some((at, _))) => Some((from.max(at.saturating_sub(bounds.grace)), until)),
        (None, None) => Some((from, until)),
    }
}
