//! What goes wrong on purpose. Tests ask for it, over any connection: of SQL Server's double by
//! `EXEC dlock_double.fault @kind = …, @match = …, @times = …`, of Oracle's by
//! `BEGIN DLOCK_DOUBLE.FAULT(kind, match, times); END;`.

use std::time::Duration;

/// How a reply goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// `no_row`: it is done, and its rows are missing.
    NoRow,
    /// `null`: the first value of each row is NULL,
    Null,
    /// `code:N`: or this.
    Code(i64),
    /// `cut`: it is done, and the connection ends in the middle of the reply,
    Cut,
    /// `hang_up`: or before it.
    HangUp,
    /// `flood`: its first row comes again and again, without end.
    Flood,
    /// `stall:MS`: it is done, and the reply comes late.
    Stall(Duration),
    /// `delay:MS`: it is begun late.
    Delay(Duration),
    /// `error:N`: it is not done.
    Error(u32),
    /// `deaf:MS`: that the client has gone, or does not want it any more, is noticed when it is done and so much later.
    Deaf(Duration),
    /// `race`: a cancel gets the whole reply, and then the acknowledgement as a message of its own.
    Race,
}

impl Trick {
    fn parse(kind: &str) -> Option<Self> {
        let (kind, number) = kind.split_once(':').unwrap_or((kind, "0"));
        let number: i64 = number.parse().ok()?;
        let time = Duration::from_millis(number.try_into().unwrap_or(0));
        Some(match kind {
            "no_row" => Trick::NoRow,
            "null" => Trick::Null,
            "code" => Trick::Code(number),
            "cut" => Trick::Cut,
            "hang_up" => Trick::HangUp,
            "flood" => Trick::Flood,
            "stall" => Trick::Stall(time),
            "delay" => Trick::Delay(time),
            "error" => Trick::Error(number.try_into().ok()?),
            "deaf" => Trick::Deaf(time),
            "race" => Trick::Race,
            _ => return None,
        })
    }
}

/// What is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    trick: Trick,
    /// A part of the text or of an argument.
    matching: String,
    times: u32,
}

impl Script {
    /// The next so many requests that say this go wrong so; none at all: no more of it.
    /// None: there is no fault of that kind.
    #[must_use]
    pub(crate) fn add(&mut self, kind: &str, matching: &str, times: u32) -> Option<()> {
        let trick = Trick::parse(kind)?;
        let matching = matching.to_lowercase();
        self.0.retain(|rule| times > 0 || rule.matching != matching);
        if times > 0 {
            self.0.push(Rule { trick, matching, times });
        }
        Some(())
    }

    /// What goes wrong with this request.
    pub(crate) fn of(&mut self, request: &str) -> Option<Trick> {
        let request = request.to_lowercase();
        let rule = self.0.iter_mut().find(|rule| request.contains(&rule.matching))?;
        rule.times -= 1;
        let trick = rule.trick;
        self.0.retain(|rule| rule.times > 0);
        Some(trick)
    }
}

#[cfg(test)]
mod tests {
    use super::{Script, Trick};

    #[test]
    fn each_as_often_as_asked_for() {
        let mut script = Script::default();
        script.add("code:-3", "APPLOCK", 2).unwrap();
        assert_eq!(script.of("SELECT 1"), None);
        assert_eq!(script.of("EXEC sp_getapplock"), Some(Trick::Code(-3)));
        script.add("race", "else", 1).unwrap();
        assert_eq!(script.of("EXEC sp_getapplock"), Some(Trick::Code(-3)));
        assert_eq!(script.of("EXEC sp_getapplock"), None);
        script.add("race", "else", 0).unwrap();
        assert_eq!(script.of("else"), None);
        assert!(script.add("storm", "", 1).is_none());
    }
}
