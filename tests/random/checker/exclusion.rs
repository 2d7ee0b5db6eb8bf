//! Who held a key at one time: by mode, by permits, and by `min_hold`.

use std::collections::BTreeMap;

use dlock_tests::random::Letting;

use super::history::{Call, History};
use super::{Bounds, Kind, MS, Violation};

/// One holder: a call, and those inside it that share its grant.
#[derive(Debug)]
struct Holder<'a> {
    call: &'a Call,
    from: u64,
    until: u64,
    /// Whose `min_hold` it is, beside its own.
    kept_by: Vec<&'a Call>,
}

pub(super) fn check(history: &History, bounds: Bounds, found: &mut Vec<Violation>) {
    let mut holders = holders(history, bounds);
    holders.sort_by_key(|holder| holder.from);
    overlaps(&holders, Kind::Exclusion, found);
    if found.is_empty() {
        keep_min_hold(history, bounds, &mut holders);
        overlaps(&holders, Kind::MinHold, found);
    }
}

fn holders(history: &History, bounds: Bounds) -> Vec<Holder<'_>> {
    let mut shared: BTreeMap<(usize, &str), (u64, u64)> = BTreeMap::new();
    // What a reentrant call holds, its outer call holds.
    for call in history.calls.iter().filter(|call| call.under && call.take.reentrant) {
        let Some((from, until)) = call.sure else { continue };
        let span = shared.entry(call.top()).or_insert((from, until));
        *span = (span.0.min(from), span.1.max(until));
    }
    let mut holders = Vec::new();
    for call in &history.calls {
        if call.under && call.take.reentrant {
            continue;
        }
        let Some((from, mut until)) = call.sure else { continue };
        if let Some((_, later)) = shared.get(&call.top()).filter(|_| call.parent().is_none()) {
            until = until.max(*later);
        }
        // After the server has ended a session, the news is on its way for a while.
        let ended =
            |(cut, over): &(u64, u64)| *cut < until && over.saturating_add(bounds.news / 5) > from;
        if history.cuts.iter().any(ended) {
            until = until.saturating_sub(bounds.news);
        }
        if until >= from {
            holders.push(Holder { call, from, until, kept_by: Vec::new() });
        }
    }
    holders
}

/// How long the lock counts as held from a grant on, if it was given back in good order.
fn keep_min_hold<'a>(history: &'a History, bounds: Bounds, holders: &mut [Holder<'a>]) {
    let inner: Vec<&'a Call> =
        history.calls.iter().filter(|call| call.under && call.take.reentrant).collect();
    let kept = |holder: &Holder<'a>| {
        let inner = inner.iter().filter(|call| call.top() == holder.call.top());
        let inner = inner.filter(|call| call.granted.is_some() && call.take.min_hold > 0);
        let inner: Vec<&'a Call> = inner.copied().collect();
        let all = inner.iter().copied().chain([holder.call]);
        let until = all.map(|call| kept_until(history, bounds, holders, call)).max();
        (until.unwrap_or(0), inner)
    };
    let kept: Vec<(u64, Vec<&'a Call>)> = holders.iter().map(kept).collect();
    for (holder, (until, inner)) in holders.iter_mut().zip(kept) {
        holder.until = holder.until.max(until);
        holder.kept_by = inner;
    }
}

/// Until when nobody else may have it for its `min_hold`; 0 where nothing is promised.
fn kept_until(history: &History, bounds: Bounds, holders: &[Holder<'_>], call: &Call) -> u64 {
    let good = call.freed.is_some() || matches!(call.lets, Some((_, Letting::Dropped)));
    if call.take.min_hold == 0 || !good || call.told.is_some() {
        return 0;
    }
    // It was granted when nobody had it any more, and after it was asked for.
    let first = call.sure.map_or(call.began, |(first, _)| first);
    let before = holders.iter().filter(|other| {
        call.room() == 1
            && other.call.room() == 1
            && other.call.meets(call)
            && other.until <= first
            && !std::ptr::eq(other.call, call)
    });
    let granted = before.map(|other| other.until).max().unwrap_or(0).max(call.began);
    let end = granted + (call.take.min_hold * MS).saturating_sub(5 * MS);
    let disturbed = |at: u64| at < end;
    let closed = history.closes.get(&call.locker).is_some_and(|(at, _)| disturbed(*at));
    let gone = history.gone.get(&call.process).is_some_and(|at| disturbed(*at));
    let cut = history.cuts.iter().any(|(from, to)| *from < end && *to > call.began);
    let frozen = history
        .freezes
        .iter()
        .any(|(process, (from, to))| *process == call.process && *from < end && *to > call.began);
    // A lease is kept by its row, without anybody's help, once it was given back.
    let lease = bounds.leases
        && call.freed.is_some_and(|freed| {
            history.gone.get(&call.process).is_none_or(|gone| *gone > freed)
                && history.closes.get(&call.locker).is_none_or(|(closes, _)| *closes > freed)
        });
    if cut || ((closed || gone || frozen) && !lease) { 0 } else { end }
}

fn overlaps(holders: &[Holder<'_>], kind: Kind, found: &mut Vec<Violation>) {
    for (n, later) in holders.iter().enumerate() {
        // All that still hold when this one surely does.
        let earlier = holders[..n]
            .iter()
            .filter(|other| other.until > later.from && other.call.meets(later.call));
        let mut all: Vec<&Holder<'_>> = earlier.collect();
        all.push(later);
        if let Some(calls) = too_many(&all) {
            let overlap = all.iter().map(|holder| holder.until).min().unwrap_or(0);
            let text = format!(
                "{} hold at once, for {:.1} ms at least: {}",
                calls.len(),
                overlap.saturating_sub(later.from) as f64 / 1e6,
                calls.iter().map(|call| name(call)).collect::<Vec<_>>().join(" and "),
            );
            let kept_by = all.iter().flat_map(|holder| holder.kept_by.iter().copied());
            let calls: Vec<&Call> = calls.into_iter().chain(kept_by).collect();
            found.push(Violation::new(kind, &calls, text));
        }
    }
}

/// Those who do not go together, of holders at one time.
fn too_many<'a>(all: &[&Holder<'a>]) -> Option<Vec<&'a Call>> {
    let calls = || all.iter().map(|holder| holder.call);
    let exclusive: Vec<&Call> =
        calls().filter(|call| !call.take.shared && call.room() == 1).collect();
    if exclusive.len() > 1 {
        return Some(exclusive);
    }
    let shared: Vec<&Call> = calls().filter(|call| call.take.shared).collect();
    if !exclusive.is_empty() && !shared.is_empty() {
        return Some(exclusive.into_iter().chain(shared).collect());
    }
    let room = calls().map(Call::room).max().unwrap_or(1);
    let others: Vec<&Call> = calls().filter(|call| !call.take.shared).collect();
    (others.len() > room).then_some(others)
}

/// How a call is called in messages.
pub(super) fn name(call: &Call) -> String {
    format!("process {} call {}", call.process, call.id)
}
