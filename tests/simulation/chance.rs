//! What can happen in a world, and how often.

use std::ops::RangeInclusive;

use fastrand::Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chance {
    Acquire,
    Release,
    Expire,
    Overdue,
    Abandon,
    Lie,
    Kill,
    Slice,
    Work,
    Hear,
    Report,
    Poll,
    Notice,
    Confirm,
}

/// What goes on when nobody wants anything new and nothing breaks.
pub(crate) const CALM: &[Chance] = &[
    Chance::Release,
    Chance::Work,
    Chance::Hear,
    Chance::Report,
    Chance::Poll,
    Chance::Notice,
    Chance::Slice,
];

/// Each storm is of another kind: slow servers, slow processes, hasty callers…
pub(crate) fn storm(rng: &mut Rng, deaths: u32) -> Vec<(Chance, u32)> {
    let mut often = |chance, range: RangeInclusive<u32>| (chance, rng.u32(range));
    vec![
        often(Chance::Acquire, 50..=300),
        often(Chance::Release, 50..=300),
        often(Chance::Work, 50..=300),
        often(Chance::Hear, 50..=300),
        often(Chance::Report, 50..=300),
        often(Chance::Poll, 10..=100),
        often(Chance::Notice, 5..=50),
        often(Chance::Expire, 0..=100),
        often(Chance::Overdue, 0..=20),
        often(Chance::Abandon, 0..=50),
        often(Chance::Slice, 1..=30),
        often(Chance::Lie, 0..=10),
        often(Chance::Confirm, 0..=20),
        often(Chance::Kill, 0..=deaths),
    ]
}
