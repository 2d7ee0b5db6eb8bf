//! The modes of locks, by the numbers that `DBMS_LOCK` gives them.

use crate::doubles::locks;

/// 1 NL, 2 SS, 3 SX, 4 S, 5 SSX, 6 X.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(u8);

impl Mode {
    pub(super) const EXCLUSIVE: Mode = Mode(6);

    pub(super) fn new(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=6).contains(number)).map(Mode)
    }

    pub(super) fn number(self) -> i64 {
        self.0.into()
    }
}

impl locks::Mode for Mode {
    fn goes_with(self, other: Self) -> bool {
        let others: &[u8] = match self.0 {
            1 => &[1, 2, 3, 4, 5, 6],
            2 => &[1, 2, 3, 4, 5],
            3 => &[1, 2, 3],
            4 => &[1, 2, 4],
            5 => &[1, 2],
            _ => &[1],
        };
        others.contains(&other.0)
    }

    fn covers(self, other: Self) -> bool {
        self == other
    }

    /// A conversion takes the place of the mode that was held.
    fn with(self, other: Self) -> Self {
        other
    }
}

#[cfg(test)]
mod tests {
    use crate::doubles::locks::Mode as _;

    use super::Mode;

    /// The table of the manual: held in rows, asked for in columns.
    #[test]
    fn as_the_manual_says() {
        let table = ["yyyyyy", "yyyyyn", "yyynnn", "yynynn", "yynnnn", "ynnnnn"];
        for (held, row) in (1..).zip(table) {
            for (asked, expected) in (1..).zip(row.bytes()) {
                let (held, asked) = (Mode::new(held).unwrap(), Mode::new(asked).unwrap());
                assert_eq!(held.goes_with(asked), expected == b'y', "{held:?} {asked:?}");
            }
        }
        assert_eq!([Mode::new(0), Mode::new(7), Mode::new(-1)], [None; 3]);
    }
}
