//! Who held what and when, written down by the holders themselves, and whether that can be.
//!
//! Each process writes a line when it has been granted a key and before it gives it back, by a
//! clock that all share. So what a history calls a hold is a little shorter than the real one, and
//! holds that overlap in the history did so in truth. A process can be frozen between any two
//! instructions: it looks at the clock, then asks its guard, and only then is what the clock said a
//! time at which it held the lock.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::check::tell;
use crate::clock::now;

/// Writes a process's history.
#[derive(Debug)]
pub struct Writer {
    file: File,
    last: AtomicU64,
}

impl Writer {
    /// Goes on with that file.
    pub fn append(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Writer { file, last: AtomicU64::new(0) }
    }

    /// The key has been granted by this time, with this fencing token if it has one; the answer names
    /// the hold.
    pub fn acquired(&self, key: &str, at: u64, fence: Option<u64>) -> u64 {
        let hold = self.last.fetch_add(1, Ordering::Relaxed);
        let fence = fence.map(|fence| format!(" {fence}")).unwrap_or_default();
        self.write('+', hold, at, &format!("{key}{fence}"));
        hold
    }

    /// The holder works under its lock at this time.
    pub fn works(&self, hold: u64, at: u64) {
        self.write('*', hold, at, "");
    }

    /// The key is given back after this time.
    pub fn releases(&self, hold: u64, at: u64) {
        self.write('-', hold, at, "");
    }

    /// The holder was told that the lock was lost, earlier or by its release.
    pub fn lost(&self, hold: u64) {
        self.write('!', hold, now(), "");
    }

    fn write(&self, mark: char, hold: u64, at: u64, what: &str) {
        // One write for each line: whatever kills the process, lines are whole.
        let line = format!("{mark} {hold} {at} {what}\n");
        (&self.file).write_all(line.as_bytes()).unwrap();
    }
}

/// One grant.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Who had it, for messages.
    pub who: String,
    /// What was held.
    pub key: String,
    /// The fencing token, where there is one.
    pub fence: Option<u64>,
    /// From when on.
    pub from: u64,
    /// To when at least: the last sign of the holder.
    pub until: u64,
    /// Its holder was told that it had lost the lock, or died with it.
    pub lost: bool,
}

/// Reads what the process `who` has written. `killed`: it had no time to end its holds.
pub fn read(path: &Path, who: &str, killed: bool) -> Vec<Hold> {
    let mut holds: BTreeMap<u64, (Hold, bool)> = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("{who} wrote {line:?}"));
        let (mark, id, time) = (word(), word().parse().unwrap(), word().parse().unwrap());
        let key = word().to_owned();
        let fence = words.next().map(|fence| fence.parse().unwrap());
        if mark == "+" {
            let hold = Hold { who: who.into(), key, fence, from: time, until: time, lost: false };
            assert!(holds.insert(id, (hold, true)).is_none(), "{who} has two holds {id}");
            continue;
        }
        let (hold, open) = holds.get_mut(&id).unwrap_or_else(|| panic!("{who}: no hold {id}"));
        match mark {
            "*" => hold.until = time,
            "-" => (hold.until, *open) = (time, false),
            // It had lost the lock at some time before it was told so.
            "!" => (hold.lost, *open) = (true, false),
            _ => panic!("{who} wrote {line:?}"),
        }
    }
    let end = holds.into_values().map(|(mut hold, open)| {
        assert!(killed || !open, "{who} has not ended its hold: {hold:?}");
        // Nobody can say what it would have been told.
        hold.lost |= open;
        hold
    });
    end.collect()
}

/// Adds them to the grants that `tests/run` has seen in histories.
pub fn count(holds: &[Hold]) {
    tell("DLOCK_TEST_GRANTS", &holds.len().to_string());
}

/// When the last holder that was told of a loss was told so, by its own history.
pub fn told(path: &Path) -> Option<u64> {
    let history = std::fs::read_to_string(path).unwrap();
    let told = history.lines().rfind(|line| line.starts_with('!'))?;
    told.split(' ').nth(2)?.parse().ok()
}

/// Looks for two holders of one key at one time. A holder that was told of its loss may have worked
/// on for `grace` after the next one came.
pub fn verify(holds: &[Hold], grace: Duration) -> Result<(), String> {
    for holds in by_key(holds) {
        for pair in holds.windows(2) {
            // The first of those that came later is the next.
            let [earlier, later] = pair else { continue };
            let grace = if earlier.lost { u64::try_from(grace.as_nanos()).unwrap() } else { 0 };
            let until = earlier.until.saturating_sub(grace);
            if later.from < until {
                let overlap = Duration::from_nanos(until.min(later.until) - later.from);
                let around = around(&holds, later);
                return Err(format!(
                    "two holders for {overlap:?}: {earlier:?} and {later:?}{around}"
                ));
            }
        }
    }
    Ok(())
}

/// Looks for a fencing token that is not greater than that of an earlier holder of the key. Those who
/// write down only what they surely hold have begun in the order of their grants.
pub fn verify_fences(holds: &[Hold]) -> Result<(), String> {
    for holds in by_key(holds) {
        for pair in holds.windows(2) {
            let [earlier, later] = pair else { continue };
            if later.fence.is_none() || later.fence <= earlier.fence {
                let around = around(&holds, later);
                return Err(format!("no greater fence: {earlier:?} and {later:?}{around}"));
            }
        }
    }
    Ok(())
}

/// A line for each of a key's holds that began shortly before or after this one.
fn around(holds: &[&Hold], this: &Hold) -> String {
    const NEIGHBOURS: usize = 20;
    let at = holds.partition_point(|hold| hold.from < this.from);
    let near = &holds[at.saturating_sub(NEIGHBOURS)..holds.len().min(at + NEIGHBOURS)];
    near.iter().map(|hold| format!("\n  {hold:?}")).collect()
}

/// Those of each key, in the order in which they began.
fn by_key(holds: &[Hold]) -> impl Iterator<Item = Vec<&Hold>> {
    let mut keys: BTreeMap<&str, Vec<&Hold>> = BTreeMap::new();
    for hold in holds {
        keys.entry(&hold.key).or_default().push(hold);
    }
    keys.into_values().map(|mut holds| {
        holds.sort_by_key(|hold| hold.from);
        holds
    })
}
