//! How much goes out at once.
//!
//! All that is wanted goes out together. But when somebody else has locked a row by hand, nothing
//! of what goes out with it is done: so what was busy is asked for again in smaller portions, down
//! to one, and what is busy all alone goes alone from then on, and not too often. What was busy
//! never goes out with what was not: however often that is renewed meanwhile, those among which the
//! busy one must be only become fewer.

use std::time::{Duration, Instant};

use crate::sort::sort_by_key;

/// A row that is busy takes no more of the connection's time than a part of so many.
const SHARE: u32 = 10;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// How something that is wanted of the database has fared there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff {
    /// After which job it was busy the last time.
    turn: u64,
    /// It was busy all alone: then it goes alone, and not before this.
    alone: Option<Instant>,
}

impl Backoff {
    /// When it can go out.
    pub(super) fn at(self) -> Option<Instant> {
        self.alone
    }

    /// It was busy together with others: any of them can be the reason.
    fn is_suspect(self) -> bool {
        self.turn > 0 && self.alone.is_none()
    }
}

/// What goes out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fresh,
    Suspects,
    Lone,
}

/// See the [module](self).
pub(super) struct BatchSize {
    /// Of suspects, so many at once.
    most: usize,
    /// What the database takes in any case.
    limit: usize,
    turn: u64,
    /// Others have gone since one has gone alone.
    others_went: bool,
    /// What went out last, how many, and when.
    kind: Kind,
    sent: usize,
    began: Instant,
}

impl BatchSize {
    pub(super) fn new(now: Instant) -> Self {
        BatchSize {
            most: usize::MAX,
            limit: usize::MAX,
            turn: 0,
            others_went: false,
            kind: Kind::Fresh,
            sent: 0,
            began: now,
        }
    }

    /// What is busy or refused is to fail as a whole from now on.
    pub(super) fn together(&mut self, now: Instant) {
        *self = BatchSize { limit: self.limit, ..BatchSize::new(now) };
    }

    /// No more than this goes out at once.
    pub(super) fn limit(&mut self, most: usize) {
        self.limit = most;
    }

    /// Takes out what of this goes out now: those first that were busy the longest time ago.
    pub(super) fn choose<T>(
        &mut self,
        now: Instant,
        wanted: &mut Vec<T>,
        backoff: impl Fn(&T) -> Backoff,
    ) -> Vec<T> {
        let (mut suspects, mut others) = (0, 0);
        for one in wanted.iter().map(&backoff).filter(|backoff| backoff.alone.is_none()) {
            others += 1;
            suspects += usize::from(one.is_suspect());
        }
        self.began = now;
        if self.others_went || others == 0 {
            self.others_went = false;
            let is_due = |one: &T| backoff(one).alone.is_some_and(|at| at <= now);
            let due = wanted.iter().enumerate().filter(|(_, one)| is_due(one));
            let first = due.min_by_key(|(_, one)| backoff(one).turn).map(|(index, _)| index);
            if let Some(index) = first {
                (self.kind, self.sent) = (Kind::Lone, 1);
                return vec![wanted.swap_remove(index)];
            }
        }
        let fresh = others - suspects;
        // In turns.
        let most = if suspects == 0 || (fresh > 0 && self.kind == Kind::Suspects) {
            self.kind = Kind::Fresh;
            fresh.min(self.limit)
        } else {
            self.kind = Kind::Suspects;
            suspects.min(self.most).min(self.limit)
        };
        self.others_went |= most > 0;
        self.sent = most;
        if most == wanted.len() {
            return std::mem::take(wanted);
        }
        let kind = self.kind;
        sort_by_key(wanted, |one| {
            let backoff = backoff(one);
            let is_other = backoff.is_suspect() != (kind == Kind::Suspects);
            (backoff.alone.is_some(), is_other, backoff.turn)
        });
        let rest = wanted.split_off(most);
        std::mem::replace(wanted, rest)
    }

    /// There was an answer.
    pub(super) fn answered(&mut self) {
        if self.kind == Kind::Suspects {
            self.most = self.most.saturating_mul(2);
        }
    }

    /// One of those that were chosen was busy. What becomes of their luck.
    pub(super) fn busy(&mut self, now: Instant) -> Backoff {
        self.turn += 1;
        if self.sent > 1 {
            self.most = self.sent.div_ceil(2);
            return Backoff { turn: self.turn, alone: None };
        }
        let pause = (now - self.began).saturating_mul(SHARE).clamp(SHORTEST, LONGEST);
        Backoff { turn: self.turn, alone: Some(now + pause) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All others are wanted anew while it is looked for, after every few jobs.
    #[test]
    fn one_that_is_busy_is_found_among_those_that_come_again() {
        for every in 1..9 {
            let mut batch_size = BatchSize::new(Instant::now());
            let mut backoff = vec![Backoff::default(); 150];
            let mut wanted: BTreeSet<usize> = (0..backoff.len()).collect();
            for job in 0.. {
                if backoff[7].alone.is_some() {
                    break;
                }
                assert!(job < 80, "every {every}: not found");
                if job % every == 0 {
                    wanted.extend(0..backoff.len());
                }
                let now = Instant::now();
                let sent =
                    batch_size.choose(now, &mut wanted.iter().copied().collect(), |n| backoff[*n]);
                if sent.contains(&7) {
                    let fared = batch_size.busy(now);
                    sent.iter().for_each(|n| backoff[*n] = fared);
                } else {
                    batch_size.answered();
                    wanted.retain(|n| !sent.contains(n));
                    sent.iter().for_each(|n| backoff[*n] = Backoff::default());
                }
            }
        }
    }

    /// However many there are, all but the busy one get through, and soon.
    #[test]
    fn one_that_is_busy_is_found() {
        for many in [1, 2, 3, 10, 1000] {
            for busy in [0, many / 2, many - 1] {
                let mut batch_size = BatchSize::new(Instant::now());
                let mut backoff = vec![Backoff::default(); many];
                let mut left: BTreeSet<usize> = (0..many).collect();
                let mut jobs = 0;
                while left.len() > 1 || backoff[busy].alone.is_none() {
                    let now = Instant::now();
                    let sent = batch_size
                        .choose(now, &mut left.iter().copied().collect(), |n| backoff[*n]);
                    jobs += usize::from(!sent.is_empty());
                    assert!(jobs < 60, "{many}, {busy}: {} left", left.len());
                    if sent.contains(&busy) {
                        let fared = batch_size.busy(now);
                        sent.iter().for_each(|n| backoff[*n] = fared);
                    } else {
                        batch_size.answered();
                        left.retain(|n| !sent.contains(n));
                    }
                }
                // From then on it does not take others with it.
                let now = backoff[busy].alone.unwrap_or_else(Instant::now);
                let sent = batch_size.choose(now, &mut vec![busy, many, many + 1], |n| {
                    backoff.get(*n).copied().unwrap_or_default()
                });
                assert!(sent == [busy] || sent == [many, many + 1], "{sent:?}");
            }
        }
    }
}
