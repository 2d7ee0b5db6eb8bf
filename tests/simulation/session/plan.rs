//! What happens in a world from outside: what callers want, and what breaks. One seed makes one plan; a plan with
//! fewer items is a shorter trace.

use fastrand::Rng;

/// A time, or a span of time, in microseconds.
pub(super) type Micros = u64;

pub(super) const MS: Micros = 1_000;
pub(super) const SECOND: Micros = 1_000_000;

/// What kind of world it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) processes: usize,
    pub(super) keys: usize,
    /// How many sessions a process may have.
    pub(super) sessions: u32,
    /// There are shared locks.
    pub(super) readers: bool,
    /// Guards change the mode of their locks.
    pub(super) converts: bool,
    /// A wait ends by an order, and not only with its connection.
    pub(super) stops_waits: bool,
    /// Of 100 items, so many are faults.
    pub(super) faults: u32,
}

/// What happens, and when. Its salt decides all that is left to chance, so that it does not depend on other items.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub(super) at: Micros,
    pub(super) process: usize,
    pub(super) salt: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    /// A caller wants a key. `wait`: how long; zero is a try. `hold`: for how long it keeps it.
    Acquire { key: usize, shared: bool, fenced: bool, polls: bool, wait: Micros, hold: Micros },
    /// So many callers want a key at once, each for a moment.
    Crowd { key: usize, callers: u32, hold: Micros },
    /// A caller that waits goes away.
    Abandon,
    /// A guard changes its mode.
    Convert { wait: Micros },
    /// Somebody asks who holds what.
    Question,
    /// The server ends a session.
    Kill,
    /// The server starts anew; it takes so long.
    Restart { down: Micros },
    /// The server does nothing for so long.
    Stall { time: Micros },
    /// The process does nothing for so long.
    Freeze { time: Micros },
    /// Nothing arrives for so long, in one direction or both.
    Cut { time: Micros, up: bool, down: bool },
    /// Nothing arrives on one connection any more, in one direction or both, and nobody is told.
    Lose { up: bool, down: bool },
    /// The server has no connections left for so long.
    Fill { time: Micros },
    /// Everything takes longer for a while.
    Slow { time: Micros, latency: Micros },
    /// The next answer on one connection is wrong.
    Lie,
    /// What is to be written waits for a standby for so long.
    Standby { time: Micros },
}

impl What {
    /// It does not come from a caller.
    pub(super) fn is_fault(self) -> bool {
        use What::{Abandon, Acquire, Convert, Crowd, Question};
        !matches!(self, Abandon | Acquire { .. } | Crowd { .. } | Convert { .. } | Question)
    }
}

/// The items of a storm, in their order.
pub(super) fn storm(rng: &mut Rng, kind: Kind, length: Micros) -> Vec<Item> {
    let count = rng.usize(20..200);
    let writers = rng.u8(..);
    let hurry = rng.choice([1, 10, 100]).unwrap_or(1);
    let mut items: Vec<Item> = (0..count)
        .map(|_| {
            let what = if rng.u32(..100) < kind.faults {
                fault(rng)
            } else {
                want(rng, kind, writers, hurry)
            };
            Item {
                at: rng.u64(..length),
                process: rng.usize(..kind.processes),
                salt: rng.u64(..),
                what,
            }
        })
        .collect();
    items.sort_by_key(|item| item.at);
    items
}

fn want(rng: &mut Rng, kind: Kind, writers: u8, hurry: u64) -> What {
    match rng.u32(..20) {
        0 => What::Abandon,
        1 | 2 if kind.converts => What::Convert { wait: rng.u64(..3 * SECOND) },
        3 => What::Question,
        4 if rng.u32(..8) == 0 => What::Crowd {
            key: rng.usize(..kind.keys),
            callers: rng.u32(2..15),
            hold: rng.u64(..20 * MS),
        },
        _ => {
            let shared = kind.readers && rng.u8(..) >= writers;
            let wait = match rng.u32(..6) {
                0 | 1 => 0,
                2 => rng.u64(MS..500 * MS),
                3 => 300 * SECOND,
                _ => rng.u64(..20 * SECOND),
            };
            What::Acquire {
                key: rng.usize(..kind.keys),
                shared,
                fenced: !shared && rng.u32(..3) == 0,
                polls: rng.u32(..12) == 0,
                wait,
                // Without faults, some are held for longer than a session is without a sign of life.
                hold: rng.u64(..if kind.faults == 0 { 20 } else { 4 } * SECOND) / hurry,
            }
        }
    }
}

fn fault(rng: &mut Rng) -> What {
    let (up, down) =
        rng.choice([(true, false), (false, true), (true, true)]).unwrap_or((true, true));
    match rng.u32(..14) {
        0..=2 => What::Kill,
        3 => What::Restart { down: rng.u64(..5 * SECOND) },
        4 => What::Stall { time: rng.u64(..12 * SECOND) },
        5 => What::Freeze { time: rng.u64(..20 * SECOND) },
        6 => What::Cut { time: rng.u64(..15 * SECOND), up, down },
        7 | 8 => What::Lose { up, down },
        9 => What::Fill { time: rng.u64(..10 * SECOND) },
        10 => What::Slow { time: rng.u64(..10 * SECOND), latency: rng.u64(..2 * SECOND) },
        11 => What::Standby { time: rng.u64(..8 * SECOND) },
        _ => What::Lie,
    }
}
