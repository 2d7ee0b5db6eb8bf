//! The modes of locks, and which go together.

use crate::doubles::locks;

/// A mode, as a set of what it lets its owner do: what covers another one has all of its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(u8);

impl Mode {
    pub(super) const INTENT_SHARED: Mode = Mode(0b00001);
    pub(super) const SHARED: Mode = Mode(0b00011);
    pub(super) const UPDATE: Mode = Mode(0b00111);
    pub(super) const INTENT_EXCLUSIVE: Mode = Mode(0b01001);
    pub(super) const SHARED_INTENT_EXCLUSIVE: Mode = Mode(0b01011);
    pub(super) const UPDATE_INTENT_EXCLUSIVE: Mode = Mode(0b01111);
    pub(super) const EXCLUSIVE: Mode = Mode(0b11111);

    /// What `sp_getapplock` takes.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "intentshared" => Mode::INTENT_SHARED,
            "shared" => Mode::SHARED,
            "update" => Mode::UPDATE,
            "intentexclusive" => Mode::INTENT_EXCLUSIVE,
            "exclusive" => Mode::EXCLUSIVE,
            _ => return None,
        })
    }

    /// As `APPLOCK_MODE` says it, and as the views do.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Mode::INTENT_SHARED => ("IntentShared", "IS"),
            Mode::SHARED => ("Shared", "S"),
            Mode::UPDATE => ("Update", "U"),
            Mode::INTENT_EXCLUSIVE => ("IntentExclusive", "IX"),
            Mode::SHARED_INTENT_EXCLUSIVE => ("SharedIntentExclusive", "SIX"),
            Mode::UPDATE_INTENT_EXCLUSIVE => ("UpdateIntentExclusive", "UIX"),
            _ => ("Exclusive", "X"),
        }
    }
}

impl locks::Mode for Mode {
    /// Whether who has this has the other one as well.
    fn covers(self, other: Mode) -> bool {
        self.0 & other.0 == other.0
    }

    /// What who has one and asks for the other one has then.
    fn with(self, other: Mode) -> Mode {
        Mode(self.0 | other.0)
    }

    /// Whether two sessions may have these at the same time.
    fn goes_with(self, other: Mode) -> bool {
        let allows = |mode: Mode| match mode {
            Mode::INTENT_SHARED => 0b01111,
            Mode::SHARED => 0b00111,
            Mode::UPDATE => 0b00011,
            Mode::INTENT_EXCLUSIVE => 0b01001,
            Mode::SHARED_INTENT_EXCLUSIVE | Mode::UPDATE_INTENT_EXCLUSIVE => 0b00001,
            _ => 0,
        };
        Mode(allows(self)).covers(other) && Mode(allows(other)).covers(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::doubles::locks::Mode as _;

    use super::Mode;

    /// The table of the manual.
    #[test]
    fn as_the_manual_says() {
        let names = ["IS", "S", "U", "IX", "SIX", "X"];
        let table = ["yyyyyn", "yyynnn", "yynnnn", "ynnynn", "ynnnnn", "nnnnnn"];
        let modes = [
            Mode::INTENT_SHARED,
            Mode::SHARED,
            Mode::UPDATE,
            Mode::INTENT_EXCLUSIVE,
            Mode::SHARED_INTENT_EXCLUSIVE,
            Mode::EXCLUSIVE,
        ];
        for (row, held) in modes.iter().enumerate() {
            assert_eq!(held.names().1, names[row]);
            for (column, asked) in modes.iter().enumerate() {
                let expected = table[row].as_bytes()[column] == b'y';
                assert_eq!(held.goes_with(*asked), expected, "{held:?} {asked:?}");
            }
        }
        assert_eq!(Mode::SHARED.with(Mode::INTENT_EXCLUSIVE), Mode::SHARED_INTENT_EXCLUSIVE);
        assert_eq!(Mode::UPDATE.with(Mode::SHARED), Mode::UPDATE);
        assert_eq!(Mode::parse("exclusive").unwrap().with(Mode::SHARED), Mode::EXCLUSIVE);
    }
}
