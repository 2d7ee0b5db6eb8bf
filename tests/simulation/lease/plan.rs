//! What people and fate do in a world: a list that a seed makes, and that is made shorter when
//! something goes wrong.

use std::time::Duration;

use dlock::engine::simulated::LockOptions;
use fastrand::Rng;

/// As many keys as a world has.
pub(crate) const KEYS: u8 = 3;

/// The time to live of leases whose lock does not say it.
pub(crate) const TTL: Duration = Duration::from_secs(3);

const fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// What kind of world it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) processes: usize,
    /// How often something breaks: of 1000 commands, so many.
    pub(crate) faults: u32,
    /// The database's clock is that of the machine, which people set.
    pub(crate) our_clock: bool,
    /// All want one key, each on its own options and for a moment, from a server that is slow: locks
    /// pass from caller to caller, who go before they have them.
    pub(crate) crowd: bool,
}

/// On what options a lock is taken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Like {
    pub(crate) ttl: Option<Duration>,
    pub(crate) once: bool,
    pub(crate) named: bool,
    pub(crate) retry_every: Option<Duration>,
    pub(crate) min_hold: Duration,
}

impl Like {
    pub(crate) fn options(self, process: usize) -> LockOptions {
        LockOptions {
            ttl: self.ttl,
            auto_renew: !self.once,
            owner: self.named.then(|| format!("ada{process}").into()),
            retry_every: self.retry_every,
            min_hold: self.min_hold,
            ..LockOptions::default()
        }
    }

    fn some(rng: &mut Rng) -> Self {
        Like {
            ttl: rng
                .choice([None, None, None, Some(ms(400)), Some(ms(5000)), Some(Duration::MAX)])
                .flatten(),
            once: rng.u8(..10) == 0,
            named: rng.u8(..4) == 0,
            retry_every: (rng.u8(..8) == 0).then(|| ms(rng.u64(1..200))),
            min_hold: if rng.bool() { ms(rng.u64(1..1500)) } else { Duration::ZERO },
        }
    }
}

/// Something that is done or happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    /// A caller wants a lock, for so long, and keeps it for a while.
    Acquire { p: usize, key: u8, patient: bool, within: Duration, hold: Duration, like: Like },
    /// A caller goes away.
    Abandon { p: usize, key: u8 },
    /// A holder asks whether the lock is held.
    Verify { p: usize, key: u8 },
    /// A holder wants to keep the lock from others for longer.
    Keep { p: usize, key: u8, min_hold: Duration },
    /// A holder gives the lock to another process, which takes it or does not.
    Give { p: usize, key: u8, to: usize, taken: bool },
    /// Somebody asks something that is none of the core's business.
    Ask { p: usize },
    /// The database is said to answer what nobody has asked.
    Lie { p: usize, key: u8 },
    /// The table has changed, says the database.
    Hint { p: usize },
    /// The process dies, and another one takes its place.
    Crash { p: usize },
    /// The process says goodbye, and another one takes its place.
    Close { p: usize },
    /// The process stands still.
    Freeze { p: usize, time: Duration },
    /// Its connection ends.
    Kill { p: usize },
    /// What it sends arrives, but no answer comes back.
    Deafen { p: usize, time: Duration },
    /// Nothing that it sends arrives.
    Cut { p: usize, time: Duration },
    /// Every statement is refused, or finds everything busy.
    Full { busy: bool, time: Duration },
    /// Somebody has locked a row by hand.
    Lock { key: u8, time: Duration },
    /// Nothing goes fast.
    Slow { time: Duration },
    /// The server ends all connections, and comes back later.
    Restart { time: Duration },
    /// The database's clock is set.
    Jump { forward: bool, time: Duration },
    /// Somebody takes the lock from its holder.
    Break { key: u8 },
    /// Statements arrive twice, answers are cut short, and some say no where they should say yes.
    Odd { time: Duration },
}

/// A list of what happens, and when.
pub(crate) fn plan(seed: u64, kind: Kind) -> Vec<(Duration, Command)> {
    let mut rng = Rng::with_seed(seed ^ 0x1ea5e);
    let pause = rng.choice([2, 10, 40, 150]).unwrap_or(10);
    let mut at = Duration::ZERO;
    let count = rng.usize(20..160);
    let slow = kind.crowd.then_some((at, Command::Slow { time: ms(60_000) }));
    let plan = (0..count).map(|_| {
        at += ms(rng.u64(..pause * 2));
        let command = if rng.u32(..1000) < kind.faults {
            fault(&mut rng, kind)
        } else {
            wish(&mut rng, kind)
        };
        (at, command)
    });
    slow.into_iter().chain(plan).collect()
}

fn wish(rng: &mut Rng, kind: Kind) -> Command {
    let (p, key) = (rng.usize(..kind.processes), rng.u8(..KEYS));
    if kind.crowd && rng.u8(..8) > 0 {
        return Command::Acquire {
            p,
            key: 0,
            patient: true,
            within: ms(rng.choice([30, 500, 5000]).unwrap_or(500)),
            hold: ms(rng.u64(..4)),
            like: Like::some(rng),
        };
    }
    match rng.u8(..32) {
        0 | 1 => Command::Abandon { p, key },
        2 => Command::Verify { p, key },
        3 | 9 => Command::Keep { p, key, min_hold: ms(rng.u64(1..4000)) },
        4 | 5 => Command::Give { p, key, to: rng.usize(..kind.processes), taken: rng.u8(..4) > 0 },
        6 => Command::Ask { p },
        7 => Command::Lie { p, key },
        8 => Command::Hint { p },
        _ => Command::Acquire {
            p,
            key,
            patient: rng.u8(..4) > 0,
            within: ms(rng.choice([30, 500, 5000, 20_000]).unwrap_or(500)),
            hold: ms(rng.choice([0, 1, 20, 300, 3000, 9000]).unwrap_or(1)),
            like: if rng.bool() { Like::default() } else { Like::some(rng) },
        },
    }
}

fn fault(rng: &mut Rng, kind: Kind) -> Command {
    let (p, key) = (rng.usize(..kind.processes), rng.u8(..KEYS));
    let time = ms(rng.choice([5, 60, 700, 4000]).unwrap_or(60));
    match rng.u8(..16) {
        0 => Command::Crash { p },
        1 => Command::Close { p },
        2 | 3 => Command::Freeze { p, time },
        4 => Command::Kill { p },
        5 | 6 => Command::Deafen { p, time },
        7 => Command::Cut { p, time },
        8 => Command::Full { busy: rng.bool(), time },
        9 => Command::Lock { key, time },
        10 => Command::Slow { time },
        11 => Command::Restart { time },
        12 => Command::Jump { forward: rng.bool(), time: ms(rng.u64(1..3000)) },
        13 => Command::Break { key },
        _ => Command::Odd { time },
    }
}
