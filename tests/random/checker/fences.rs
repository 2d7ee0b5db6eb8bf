//! Fencing tokens grow with every grant of their key.

use super::exclusion::name;
use super::history::{Call, History};
use super::{Kind, Violation};

pub(super) fn check(history: &History, found: &mut Vec<Violation>) {
    let held = |call: &&Call| call.sure.is_some() && call.parent().is_none();
    let held: Vec<&Call> = history.calls.iter().filter(held).collect();
    for call in &held {
        if call.take.fenced && call.fence.is_none() {
            let text = format!("{} is fenced and has no token", name(call));
            found.push(Violation::new(Kind::Fence, &[call], text));
        }
        if call.take.permits > 1 && call.fence.is_some() {
            let text = format!("{} has a token though it is one of several", name(call));
            found.push(Violation::new(Kind::Fence, &[call], text));
        }
    }
    let fenced: Vec<&Call> =
        held.into_iter().filter(|call| call.fence.is_some() && call.room() == 1).collect();
    for (n, one) in fenced.iter().enumerate() {
        for other in &fenced[n + 1..] {
            let Some((earlier, later)) = in_order(history, one, other) else { continue };
            if earlier.meets(later) && earlier.fence >= later.fence {
                let text = format!(
                    "{} has token {:?}, and {}, which came later, has {:?}",
                    name(earlier),
                    earlier.fence,
                    name(later),
                    later.fence,
                );
                found.push(Violation::new(Kind::Fence, &[earlier, later], text));
            }
        }
    }
}

/// Which of two was granted first, where that is sure.
fn in_order<'a>(history: &History, one: &'a Call, other: &'a Call) -> Option<(&'a Call, &'a Call)> {
    let (a, b) = (one.sure?, other.sure?);
    // As both exclude each other, who was surely held first was granted first. Where the server has
    // ended sessions, holders work on for a moment: there only who was asked for later is later.
    let cut = !history.cuts.is_empty();
    let (from_a, from_b) = if cut { (one.began, other.began) } else { (a.0, b.0) };
    if a.1 < from_b {
        Some((one, other))
    } else if b.1 < from_a {
        Some((other, one))
    } else {
        None
    }
}
