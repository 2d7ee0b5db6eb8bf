//! The fencing tokens of what sessions hold.

/// The token of a grant: each of its holders who wants one has one of their own.
#[derive(Default)]
pub(super) struct Token {
    /// Drawn, and nobody's yet.
    spare: Option<u64>,
    /// The holder's.
    given: Option<u64>,
    /// The holder is to have one.
    wanted: bool,
    /// One is on its way.
    asked: bool,
}

impl Token {
    /// That of a new grant, if one came with it.
    pub(super) fn new(spare: Option<u64>) -> Self {
        Token { spare, ..Token::default() }
    }

    /// The grant goes to somebody who wants a token or not; whether one must be drawn.
    pub(super) fn hand_over(&mut self, wanted: bool) -> bool {
        self.wanted = wanted;
        self.given = if wanted { self.spare.take() } else { None };
        let draw = wanted && self.given.is_none() && !self.asked;
        self.asked |= draw;
        draw
    }

    /// One has come.
    pub(super) fn drawn(&mut self, token: u64) {
        self.asked = false;
        let of_holder = self.wanted && self.given.is_none();
        let place = if of_holder { &mut self.given } else { &mut self.spare };
        *place = Some(token);
    }

    /// The holder's.
    pub(super) fn given(&self) -> Option<u64> {
        self.given
    }

    /// The holder has what it wants.
    pub(super) fn is_known(&self) -> bool {
        !self.wanted || self.given.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_holder_has_a_token_of_its_own() {
        let mut token = Token::new(Some(5));
        assert!(!token.hand_over(true));
        assert_eq!((token.given(), token.is_known()), (Some(5), true));
        assert!(token.hand_over(true));
        assert_eq!((token.given(), token.is_known()), (None, false));
        token.drawn(6);
        assert_eq!((token.given(), token.is_known()), (Some(6), true));
        // One that wants none leaves it to the next.
        assert!(!token.hand_over(false));
        assert_eq!((token.given(), token.is_known()), (None, true));
        token.drawn(7);
        assert_eq!(token.given(), None);
        assert!(!token.hand_over(true));
        assert_eq!(token.given(), Some(7));
    }

    #[test]
    fn one_that_is_on_its_way_is_not_asked_for_again() {
        let mut token = Token::new(None);
        assert!(token.hand_over(true));
        assert!(!token.hand_over(true));
        token.drawn(1);
        assert_eq!(token.given(), Some(1));
    }
}
