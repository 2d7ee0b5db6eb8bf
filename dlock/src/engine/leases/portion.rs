//! How much goes out at once.
//!
//! All that is wanted goes out together. But when somebody else has locked a row by hand, nothing
//! of what goes out with it is done: so what was busy is asked for again in smaller portions, down
//! to one, and what is busy all alone goes alone from then on, and not too often.

use std::time::Duration;

use tokio::time::Instant;

/// A row that is busy takes no more of the connection's time than a part of so many.
const SHARE: u32 = 10;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// How something that is wanted of the database has fared there.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Luck {
    /// After which job it was busy the last time.
    turn: u64,
    /// It was busy all alone: then it goes alone, and not before this.
    alone: Option<Instant>,
}

impl Luck {
    /// When it can go out.
    pub(super) fn at(self) -> Option<Instant> {
        self.alone
    }
}

/// See the [module](self).
pub(super) struct Portions {
    most: usize,
    /// What the database takes in any case.
    limit: usize,
    turn: u64,
    /// Others have gone since one has gone alone.
    others_went: bool,
    /// How many went out last, and when.
    sent: usize,
    began: Instant,
}

impl Portions {
    pub(super) fn new() -> Self {
        let (sent, began) = (0, Instant::now());
        Portions { most: usize::MAX, limit: usize::MAX, turn: 0, others_went: false, sent, began }
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
        luck: impl Fn(&T) -> Luck,
    ) -> Vec<T> {
        let most = self.most.min(self.limit);
        let due = |one: &T| luck(one).alone.is_none_or(|at| at <= now);
        let lone = |one: &T| luck(one).alone.is_some();
        let others = wanted.iter().filter(|one| !lone(one)).count();
        let chosen = if self.others_went || others == 0 {
            self.others_went = false;
            let alone = wanted.iter().enumerate().filter(|(_, one)| lone(one) && due(one));
            alone.min_by_key(|(_, one)| luck(one).turn).map(|(index, _)| index)
        } else {
            None
        };
        let chosen = match chosen {
            Some(index) => vec![wanted.swap_remove(index)],
            None if others == wanted.len() && others <= most => std::mem::take(wanted),
            None => {
                wanted.sort_by_key(|one| (lone(one), luck(one).turn));
                let rest = wanted.split_off(others.min(most));
                std::mem::replace(wanted, rest)
            }
        };
        self.others_went |= chosen.first().is_some_and(|one| !lone(one));
        (self.sent, self.began) = (chosen.len(), now);
        chosen
    }

    /// There was an answer.
    pub(super) fn answered(&mut self) {
        self.most = self.most.saturating_mul(2);
    }

    /// One of those that were chosen was busy. What becomes of their luck.
    pub(super) fn busy(&mut self, now: Instant) -> Luck {
        self.turn += 1;
        if self.sent > 1 {
            self.most = self.sent.div_ceil(2);
            return Luck { turn: self.turn, alone: None };
        }
        let pause = (now - self.began).saturating_mul(SHARE).clamp(SHORTEST, LONGEST);
        Luck { turn: self.turn, alone: Some(now + pause) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// However many there are, all but the busy one get through, and soon.
    #[tokio::test]
    async fn one_that_is_busy_is_found() {
        for many in [1, 2, 3, 10, 1000] {
            for busy in [0, many / 2, many - 1] {
                let mut portions = Portions::new();
                let mut luck = vec![Luck::default(); many];
                let mut left: BTreeSet<usize> = (0..many).collect();
                let mut jobs = 0;
                while left.len() > 1 || luck[busy].alone.is_none() {
                    let now = Instant::now();
                    let sent =
                        portions.choose(now, &mut left.iter().copied().collect(), |n| luck[*n]);
                    jobs += usize::from(!sent.is_empty());
                    assert!(jobs < 60, "{many}, {busy}: {} left", left.len());
                    if sent.contains(&busy) {
                        let fared = portions.busy(now);
                        sent.iter().for_each(|n| luck[*n] = fared);
                    } else {
                        portions.answered();
                        left.retain(|n| !sent.contains(n));
                    }
                }
                // From then on it does not take others with it.
                let now = luck[busy].alone.unwrap_or_else(Instant::now);
                let sent = portions.choose(now, &mut vec![busy, many, many + 1], |n| {
                    luck.get(*n).copied().unwrap_or_default()
                });
                assert!(sent == [busy] || sent == [many, many + 1], "{sent:?}");
            }
        }
    }
}
