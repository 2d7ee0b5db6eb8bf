//! Every call is answered, in its time, and with what explains itself.

use dlock_tests::random::{Letting, Outcome, Patience};

use super::exclusion::name;
use super::history::{Call, History};
use super::{Bounds, Kind, MS, Violation};

pub(super) fn check(history: &History, bounds: Bounds, found: &mut Vec<Violation>) {
    for call in &history.calls {
        times(history, call, bounds, found);
        errors(history, call, found);
        on_lost(history, call, bounds, found);
        reentrancy(history, call, found);
    }
    for process in &history.stuck {
        let text = format!("process {process} does not come to an end");
        found.push(Violation::new(Kind::Unanswered, &[], text));
    }
    for question in &history.questions {
        let gone = history.is_cut_short(question.process);
        let (kind, text) = match &question.ended {
            None if gone => continue,
            None => (Kind::Unanswered, "was never answered".to_owned()),
            Some((_, Some(outcome))) => {
                let ok = disturbed(history, question.process, question.began, bounds)
                    || matches!(outcome, Outcome::Failed(kind, _) if kind == "Closed");
                if ok {
                    continue;
                }
                (Kind::Unexplained, format!("failed: {outcome:?}"))
            }
            Some((at, None)) => {
                let time = at - question.began;
                let extra = extra(history, question.process, question.began, *at, bounds);
                if time <= 5000 * MS + bounds.answer + extra {
                    continue;
                }
                (Kind::TooLate, format!("took {} ms", time / MS))
            }
        };
        let text = format!("status {} of process {} {text}", question.id, question.process);
        found.push(Violation::new(kind, &[], text));
    }
    for (_, who, outcome) in &history.failures {
        let text = format!("{who}: a locker could not be made: {outcome:?}");
        if history.cuts.is_empty() {
            found.push(Violation::new(Kind::Unexplained, &[], text));
        }
    }
}

/// Whether something from outside can have troubled that process since that time, or just before.
fn disturbed(history: &History, process: usize, since: u64, bounds: Bounds) -> bool {
    let margin = bounds.ttl + bounds.grace;
    history.cuts.iter().any(|(_, to)| to.saturating_add(margin) > since)
        || history
            .freezes
            .iter()
            .any(|(frozen, (_, to))| *frozen == process && to.saturating_add(margin) > since)
}

/// How much longer something may have taken for what happened from outside.
fn extra(history: &History, process: usize, from: u64, to: u64, bounds: Bounds) -> u64 {
    let frozen = history.freezes.iter().filter(|(frozen, _)| *frozen == process);
    let frozen = frozen.map(|(_, (begin, end))| (*end).min(to).saturating_sub((*begin).max(from)));
    let disturbed = disturbed(history, process, from, bounds);
    let stalls = history.stalls.iter().filter(|(stalled, (begin, end))| {
        *stalled == process && (*begin, *end) != (from, to) && *begin < to && *end > from
    });
    let stalled = stalls.map(|(_, (begin, end))| (*end).min(to) - (*begin).max(from));
    stalled.sum::<u64>() + frozen.sum::<u64>() + if disturbed { 5000 * MS + bounds.ttl } else { 0 }
}

fn times(history: &History, call: &Call, bounds: Bounds, found: &mut Vec<Violation>) {
    let gone = history.is_cut_short(call.process);
    let Some(answered) = call.answered() else {
        if !gone {
            let text = format!("{} was never answered", name(call));
            found.push(Violation::new(Kind::Unanswered, &[call], text));
        }
        return;
    };
    let time = answered - call.began;
    let wait = match call.take.wait {
        _ if call.take.how.is_try() => Some(0),
        Patience::No => Some(0),
        Patience::For(time) => Some(time * MS),
        Patience::Forever => None,
    };
    if let (Some(wait), Some((_, Outcome::Timeout(_)))) = (wait, &call.ended)
        && call.granted.is_none()
        && time + MS < wait
    {
        let text = format!("{} timed out after {} of {} ms", name(call), time / MS, wait / MS);
        found.push(Violation::new(Kind::TooEarly, &[call], text));
    }
    let late = |what: &str, time: u64, from: u64, to: u64, most: u64, found: &mut Vec<_>| {
        if time > most + bounds.answer + extra(history, call.process, from, to, bounds) {
            let text = format!("{}: {what} took {} ms", name(call), time / MS);
            found.push(Violation::new(Kind::TooLate, &[call], text));
        }
    };
    if let Some(wait) = wait {
        late("the answer", time, call.began, answered, wait, found);
    }
    let Some((at, Letting::Awaited)) = call.lets else { return };
    let end = call.freed.or(call.told.map(|told| told.max(at)));
    match end.or(call.ended.as_ref().map(|(at, _)| *at)) {
        Some(end) => late("the release", end.saturating_sub(at), at, end, 2000 * MS, found),
        None if !gone => {
            let text = format!("the release of {} was never answered", name(call));
            found.push(Violation::new(Kind::Unanswered, &[call], text));
        }
        None => {}
    }
}

fn errors(history: &History, call: &Call, found: &mut Vec<Violation>) {
    let Some((at, Outcome::Failed(kind, text))) = &call.ended else { return };
    let closed = history.closes.get(&call.locker).is_some_and(|(from, _)| from <= at);
    let outside = !history.cuts.is_empty()
        || history.freezes.iter().any(|(process, _)| *process == call.process);
    // The server has not answered within the time that the call had: a busy machine.
    let patience = match call.take.wait {
        Patience::For(wait) if !call.take.how.is_try() => (wait * MS).min(2000 * MS),
        _ => 5000 * MS,
    };
    let slow = at - call.began >= patience;
    let outer_lost = history.parent(call).is_some_and(|outer| outer.told.is_some());
    let explained = match kind.as_str() {
        "Closed" => closed,
        "Unavailable" => closed || outside || slow,
        // Under the same lock it is looked at by itself.
        "Reentrant" => call.under,
        "Lost" => call.under && (outer_lost || closed || outside),
        "Config" => {
            call.under && call.take.reentrant && (call.take.min_hold > 0 || call.take.on_lost)
        }
        _ => false,
    };
    if !explained {
        let text = format!("{} failed with {kind}: {text}", name(call));
        found.push(Violation::new(Kind::Unexplained, &[call], text));
    }
}

fn on_lost(history: &History, call: &Call, bounds: Bounds, found: &mut Vec<Violation>) {
    let times = call.callbacks.len();
    let wrong = if times > 1 {
        Some(format!("ran {times} times"))
    } else if times == 1 && call.granted.is_none() && call.answered().is_some() {
        Some("ran for a lock that was never held".to_owned())
    } else if times == 1 && call.freed.is_some() && !was_lost_on_the_way(call) {
        Some("ran for a lock that was released".to_owned())
    } else if times == 0 && call.take.on_lost && call.parent().is_none() {
        let told = call.told.filter(|told| {
            let gone = history.gone.get(&call.process).copied().unwrap_or(u64::MAX);
            let frozen = history.freezes.iter().any(|(process, (_, to))| {
                *process == call.process && to.saturating_add(bounds.grace) > *told
            });
            gone > told + bounds.grace && !frozen
        });
        told.map(|_| "did not run though the lock was lost".to_owned())
    } else {
        None
    };
    if let Some(wrong) = wrong {
        let text = format!("on_lost of {} {wrong}", name(call));
        found.push(Violation::new(Kind::OnLost, &[call], text));
    }
}

/// Lost after its body had ended, and before the lock was given back: that is no matter of the body.
fn was_lost_on_the_way(call: &Call) -> bool {
    let ended = call.lets.map_or(u64::MAX, |(at, _)| at);
    call.take.how.is_run() && call.callbacks.iter().all(|at| *at >= ended)
}

fn reentrancy(history: &History, call: &Call, found: &mut Vec<Violation>) {
    if !call.under || call.answered().is_none() {
        return;
    }
    let Some(outer) = history.parent(call) else { return };
    let closed = history.closes.contains_key(&call.locker);
    let lost = outer.told.is_some() || !history.cuts.is_empty() || closed;
    let refused = call.failed("Reentrant");
    // Who has one permit of several does not have the lock alone.
    let covered = outer.room() == 1 || call.room() > 1;
    let reentrant = call.take.reentrant && !call.take.together && covered;
    let right = match (reentrant, call.granted) {
        (true, Some(_)) => true,
        (true, None) => {
            !refused && (lost || call.failed("Config"))
                || matches!(call.ended, Some((_, Outcome::Cancelled)))
        }
        (false, Some(_)) => false,
        (false, None) => refused || lost,
    };
    if !right {
        let text = format!(
            "{} under its own lock: {}",
            name(call),
            call.ended.as_ref().map_or_else(|| "granted".to_owned(), |(_, o)| format!("{o:?}"))
        );
        found.push(Violation::new(Kind::Reentrancy, &[call, outer], text));
    }
}
