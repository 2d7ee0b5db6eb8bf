//! "Did you mean": the name that somebody was trying to type.

use std::fmt::Display;

/// The candidate that is so near to `name` that it must have been meant.
pub(crate) fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let reach = 1 + name.chars().count() / 4;
    let distance = |candidate: &str| {
        // `id` for `user_id`, `user` for `user_id`: a part of the name, left out.
        let part = name.len() > 1 && candidate.split('_').any(|word| word == name);
        if part { 1 } else { distance(name, candidate) }
    };
    candidates
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `` `a`, `b`, `c` ``
pub(crate) fn list<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// How many letters to insert, delete, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(x != y);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// What to say of a name that is no parameter's. `shown`: how the attribute would name one.
pub(crate) fn no_parameter(
    name: &str,
    names: &[&str],
    shown: impl FnOnce(&str) -> String,
) -> String {
    match nearest(name, names) {
        Some(meant) => format!("no parameter named `{name}`; did you mean `{}`?", shown(meant)),
        None if names.is_empty() => format!("no parameter named `{name}`: this function has none"),
        None => format!("no parameter named `{name}`; there are {}", list(names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["timeout", "on_busy", "on_error", "key", "keys"];
        for (typed, meant) in [
            ("timeuot", Some("timeout")),
            ("tiemout", Some("timeout")),
            ("onbusy", Some("on_busy")),
            ("kye", Some("key")),
            ("busy", Some("on_busy")),
            ("namespace", None),
            ("x", None),
        ] {
            assert_eq!(nearest(typed, &names), meant, "{typed}");
        }
    }
}
