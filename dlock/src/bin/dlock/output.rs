//! How answers are shown: to a person, to a script, to a program.

use std::io::{self, Write, stdout};
use std::time::Duration;

use dlock::{Holder, LockStatus};
use serde::Serialize;

/// The columns of a list of locks.
pub(crate) const HEAD: [&str; 5] = ["KEY", "MODE", "HOLDER", "SINCE", "WAITERS"];

/// Writes lines to stdout. The reader may have seen enough.
pub(crate) fn print(lines: impl IntoIterator<Item = String>) {
    let mut out = stdout().lock();
    let printed: io::Result<()> = lines.into_iter().try_for_each(|line| writeln!(out, "{line}"));
    let _ = printed.and_then(|()| out.flush());
}

/// A duration for people.
pub(crate) fn for_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A holder for people.
pub(crate) fn holder_text(holder: &Holder) -> String {
    let who = who(holder);
    match holder.held_for {
        Some(time) => format!("{who} for {}", for_time(time)),
        None => who,
    }
}

/// Who it is, and what it says about itself.
fn who(holder: &Holder) -> String {
    match &holder.data {
        Some(data) => format!("{}, {data:?}", holder.who),
        None => holder.who.clone(),
    }
}

/// A lock as rows of a list: one for each holder, and one if there is none.
pub(crate) fn rows(status: &LockStatus) -> Vec<[String; 5]> {
    let row = |holder: Option<&Holder>| {
        let since = holder.and_then(|holder| holder.held_for).map(for_time).unwrap_or_default();
        let shown = holder.map(who).unwrap_or_default();
        let waiters = status.waiters.len().to_string();
        [status.key.to_string(), status.mode.to_string(), shown, since, waiters]
    };
    match status.holders.as_slice() {
        [] => vec![row(None)],
        holders => holders.iter().map(|holder| row(Some(holder))).collect(),
    }
}

/// A table for people.
pub(crate) fn table(rows: &[[String; 5]]) -> Vec<String> {
    let head = HEAD.map(str::to_owned);
    let mut widths = [0; 5];
    for row in rows.iter().chain([&head]) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    [&head].into_iter().chain(rows).map(line).collect()
}

/// For programs: one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    // What dlock shows has no map whose keys are no text, which is all that can go wrong.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(for_time(Duration::from_millis(20)), "20 ms");
        assert_eq!(for_time(Duration::from_secs(61)), "1 min 1 s");
        assert_eq!(for_time(Duration::from_secs(90_000)), "1 d 1 h");
    }

    #[test]
    fn columns_are_aligned() {
        let row = |key: &str| [key, "exclusive", "pid 1", "2 s", "0"].map(str::to_owned);
        let lines = table(&[row("a"), row("longer")]);
        let at = |line: &String| line.find("exclusive");
        assert_eq!(at(&lines[1]), at(&lines[2]));
        assert!(lines[0].starts_with("KEY"));
    }
}
