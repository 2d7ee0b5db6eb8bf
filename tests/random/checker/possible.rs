//! From when to when a call can have held its keys: what excuses another one that is told "busy".

use dlock_tests::random::{Letting, Outcome};

use super::history::{Call, History, Span};
use super::{Bounds, MS};

/// For each call of the history, in its order.
pub(super) fn all(history: &History, bounds: Bounds) -> Vec<Span> {
    history.calls.iter().map(|call| (call.began, until(history, call, bounds))).collect()
}

/// By when its keys are surely free of it; `u64::MAX`: never.
fn until(history: &History, call: &Call, bounds: Bounds) -> u64 {
    let own = own_end(history, call, bounds);
    // Whatever has not ended ends with its process. Nobody lets go of its leases then.
    let gone = history.gone.get(&call.process).map_or(u64::MAX, |gone| {
        let exited = history.exited.get(&call.process).map_or(*gone, |at| *at.max(gone));
        let kept = kept(call, bounds).filter(|_| bounds.leases).unwrap_or(0);
        (exited + bounds.ttl + own_ttl(call) + bounds.grace).max(kept)
    });
    if is_exact(call) {
        return own.min(gone);
    }
    let end = own.min(gone).max(left_behind(history, call, bounds).unwrap_or(0));
    // A frozen process does nothing for what it has dropped.
    let thaws = history
        .freezes
        .iter()
        .filter(|(process, (from, _))| *process == call.process && *from < end);
    let thawed = thaws.map(|(_, (_, to))| to.saturating_add(bounds.ttl + bounds.grace));
    end.max(thawed.filter(|_| end != u64::MAX).max().unwrap_or(0))
}

fn own_ttl(call: &Call) -> u64 {
    call.take.ttl * MS
}

/// Whether the end of its hold is known to the moment.
fn is_exact(call: &Call) -> bool {
    let plain = |outcome: &Outcome| matches!(outcome, Outcome::Busy | Outcome::Timeout(_));
    call.freed.is_some() && call.take.min_hold == 0
        || call.granted.is_none() && call.ended.as_ref().is_some_and(|(_, outcome)| plain(outcome))
}

/// The end of its `min_hold`, at the latest.
fn kept(call: &Call, bounds: Bounds) -> Option<u64> {
    let granted = call.granted.filter(|_| call.take.min_hold > 0)?;
    Some(granted + call.take.min_hold * MS + bounds.grace)
}

/// Until when a lease may be kept that nobody was told of: its process went before it could take back what the call had
/// asked for, and the row says how long it lasts.
fn left_behind(history: &History, call: &Call, bounds: Bounds) -> Option<u64> {
    let unknown = match &call.ended {
        _ if !bounds.leases || call.take.min_hold == 0 || call.granted.is_some() => false,
        Some((_, outcome)) => matches!(outcome, Outcome::Cancelled | Outcome::Failed(..)),
        None => true,
    };
    let gone = history.gone.get(&call.process).filter(|_| unknown)?;
    let given_up = call.ended.as_ref().map_or(*gone, |(at, _)| *at);
    let exited = history.exited.get(&call.process).map_or(*gone, |at| *at.max(gone));
    let in_flight = *gone <= given_up.saturating_add(bounds.grace);
    in_flight.then(|| exited + call.take.min_hold * MS + bounds.grace)
}

fn own_end(history: &History, call: &Call, bounds: Bounds) -> u64 {
    let kept = kept(call, bounds).unwrap_or(0);
    let unsure = bounds.ttl + own_ttl(call) + bounds.grace;
    let lets = call.lets.map_or(0, |(at, _)| at);
    if let Some(freed) = call.freed {
        return freed.max(kept);
    }
    if let Some(told) = call.told {
        let last = call.ended.as_ref().map_or(0, |(at, _)| *at).max(lets).max(told);
        return last.saturating_add(unsure);
    }
    if let Some((at, outcome)) = &call.ended {
        let harmless = ["Reentrant", "Config", "Unsupported", "InvalidKey", "Key"];
        return match outcome {
            Outcome::Busy | Outcome::Timeout(_) => *at,
            Outcome::Cancelled => (at + bounds.grace).max(kept),
            Outcome::Failed(kind, _) if harmless.contains(&kind.as_str()) => *at,
            Outcome::Failed(..) => (at + unsure).max(kept),
        };
    }
    match call.lets {
        Some((at, Letting::Dropped)) => (at + bounds.grace).max(kept),
        Some((_, Letting::Leaked)) => {
            history.closes.get(&call.locker).map_or(u64::MAX, |(_, at)| at.saturating_add(unsure))
        }
        // Not answered.
        _ => u64::MAX,
    }
}
