//! What a plan is made of: some of the options only.

use dlock_tests::Backend;
use fastrand::Rng;

/// What a database has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Can {
    pub(crate) leases: bool,
    pub(crate) shared: bool,
    /// Several processes can share it.
    pub(crate) processes: bool,
    /// There are sessions that the server can end.
    pub(crate) sessions: bool,
}

impl Can {
    pub(crate) fn of(backend: Backend) -> Self {
        Can {
            leases: backend.is_lease(),
            shared: backend.is_sharing(),
            processes: backend != Backend::Memory,
            sessions: backend.is_server(),
        }
    }
}

/// What is used of a key in all of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Class {
    Plain,
    Permits(u32),
    Shared,
    Fenced,
}

/// How often what is done in a plan, in percent.
pub(crate) struct Style {
    pub(crate) cancel: u32,
    pub(crate) min_hold: u32,
    pub(crate) hour: bool,
    pub(crate) nested: u32,
    pub(crate) on_lost: u32,
    pub(crate) leases: u32,
    pub(crate) retry: u32,
    pub(crate) together: u32,
    pub(crate) blocking: u32,
    pub(crate) solo: u32,
    pub(crate) probe: u32,
    pub(crate) tries: u32,
    pub(crate) run: u32,
    pub(crate) odd_ends: u32,
    pub(crate) leak: bool,
    pub(crate) closes: bool,
    pub(crate) long: u32,
    pub(crate) classes: Vec<Class>,
    pub(crate) can: Can,
}

impl Style {
    /// A style at random.
    pub(crate) fn of(rng: &mut Rng, can: Can) -> Self {
        let hour = percent(rng, 15);
        let keys = if hour { rng.usize(4..=8) } else { rng.usize(1..=3) };
        let mut sometimes = |chance: u32, most: u32| if percent(rng, chance) { most } else { 0 };
        let mut style = Style {
            cancel: if hour { 70 } else { sometimes(50, 40) },
            min_hold: sometimes(40, 50),
            hour,
            nested: sometimes(35, 40),
            on_lost: sometimes(40, 60),
            leases: if can.leases { sometimes(40, 30) } else { 0 },
            retry: sometimes(25, 40),
            together: sometimes(35, 40),
            blocking: sometimes(40, 40),
            solo: sometimes(35, 40),
            probe: sometimes(50, 60),
            tries: 20 + sometimes(50, 40),
            run: sometimes(50, 50),
            odd_ends: sometimes(50, 50),
            leak: sometimes(15, 1) > 0,
            // To close waits for what is kept, for a minute at most.
            closes: !hour && sometimes(15, 1) > 0,
            long: sometimes(30, 20),
            classes: Vec::new(),
            can,
        };
        let only_permits = percent(rng, 20);
        for _ in 0..keys {
            let class = match rng.u32(0..10) {
                _ if only_permits => Class::Permits(rng.u32(2..=6)),
                0..3 => Class::Permits(rng.u32(1..=5)),
                3..5 if can.shared => Class::Shared,
                5 if !hour => Class::Fenced,
                _ => Class::Plain,
            };
            style.classes.push(class);
        }
        style
    }
}

/// Whether something is so that is so in that many of a hundred cases.
pub(crate) fn percent(rng: &mut Rng, n: u32) -> bool {
    rng.u32(0..100) < n
}
