//! What a person needs to know of a round that failed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dlock_tests::Backend;
use dlock_tests::random::{Entry, Plan, What};

use crate::checker::Violation;
use crate::round::Round;

/// All that a person needs: what is wrong, the plan, and what was written down about it.
pub(crate) fn text(plan: &Plan, round: &Round) -> String {
    let mut text = String::new();
    for violation in round.violations.iter().take(8) {
        let _ = writeln!(text, "# {violation}");
    }
    let _ = write!(text, "{}", plan.to_text());
    let _ = writeln!(text, "# what was written down about it:");
    let (first, keys) = concerned(&round.violations[0], &round.entries);
    for line in lines(&round.entries, &keys, first) {
        let _ = writeln!(text, "# {line}");
    }
    text
}

/// Says it, and how it is done again, and fails.
pub(crate) fn report(backend: Backend, seed: Option<u64>, plan: &Plan, round: &Round) {
    let name = seed.map_or_else(|| "replayed".to_owned(), |seed| seed.to_string());
    let path = std::env::temp_dir().join(format!("dlock-random-{backend}-{name}.txt"));
    let text = text(plan, round);
    std::fs::write(&path, &text).unwrap();
    let run = "./tests/run random";
    let again = seed.map_or_else(String::new, |seed| {
        format!("\nall of it again: DLOCK_TEST_BACKEND={backend} DLOCK_TEST_SEED={seed} {run}")
    });
    panic!(
        "random on {backend}: {}\n{text}\nagain: DLOCK_TEST_BACKEND={backend} DLOCK_TEST_TRACE={} \
         {run}{again}",
        round.violations[0],
        path.display(),
    );
}

/// The keys of a violation, and a time a little before it.
pub(crate) fn concerned(violation: &Violation, entries: &[Entry]) -> (u64, Vec<u8>) {
    let mut keys = Vec::new();
    let mut first = u64::MAX;
    for entry in entries {
        let is_it =
            violation.calls.iter().any(|(p, call)| *p == entry.process && *call == entry.call);
        if let What::Asks { take, .. } = &entry.what
            && is_it
        {
            keys.extend(take.keys.iter().copied());
            first = first.min(entry.at);
        }
    }
    (first.saturating_sub(6_000_000_000), keys)
}

/// What was written down about calls for these keys and about processes, a line each.
fn lines(entries: &[Entry], keys: &[u8], from: u64) -> Vec<String> {
    let mut entries: Vec<&Entry> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.at);
    let start = entries.first().map_or(0, |entry| entry.at);
    let mut of_keys = BTreeMap::new();
    for entry in &entries {
        if let What::Asks { take, .. } = &entry.what {
            let is_it = keys.is_empty() || take.keys.iter().any(|key| keys.contains(key));
            of_keys.insert((entry.process, &entry.call), is_it);
        }
    }
    // A holder says over and over that it is one: the first and the last time are enough.
    let mut spans: BTreeMap<(usize, &String), (u64, u64)> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| matches!(entry.what, What::Holds(_))) {
        let span = spans.entry((entry.process, &entry.call)).or_insert((entry.at, entry.at));
        span.1 = entry.at;
    }
    let mut lines = Vec::new();
    for entry in entries {
        let of_key = *of_keys.get(&(entry.process, &entry.call)).unwrap_or(&true);
        let again = matches!(entry.what, What::Holds(_))
            && spans
                .get(&(entry.process, &entry.call))
                .is_some_and(|(first, last)| entry.at != *first && entry.at != *last);
        if !of_key || entry.at < from || again {
            continue;
        }
        let at = (entry.at - start) as f64 / 1e6;
        lines.push(format!("{at:10.2} {}:{} {}", entry.process, entry.call, entry.what.to_line()));
    }
    lines
}
