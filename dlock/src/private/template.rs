//! Keys from templates.

use std::fmt::{self, Display, Formatter, Write};

use crate::spec::key::Key;

/// A value inside a template: the character that ends it, and `%`, are percent-encoded in it, so
/// that no two tuples of values make one key.
pub struct Part<'a> {
    stop: char,
    value: &'a dyn Display,
}

pub fn part<'a, T: Display>(stop: char, value: &'a T) -> Part<'a> {
    Part { stop, value }
}

impl Display for Part<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Encode { stop: self.stop, to: f }, "{}", self.value)
    }
}

struct Encode<'a, 'f> {
    stop: char,
    to: &'a mut Formatter<'f>,
}

impl Write for Encode<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(['%', self.stop]) {
            let (plain, from) = rest.split_at(at);
            self.to.write_str(plain)?;
            let end = from.chars().next().map_or(0, char::len_utf8);
            from[..end].bytes().try_for_each(|byte| write!(self.to, "%{byte:02X}"))?;
            rest = &from[end..];
        }
        self.to.write_str(rest)
    }
}

pub fn key(text: fmt::Arguments<'_>) -> Key {
    Key::display(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_and_the_percent_sign_are_encoded() {
        for (stop, value, encoded) in [
            (':', "plain", "plain"),
            (':', "a:b", "a%3Ab"),
            (':', "100%", "100%25"),
            (':', "%3A", "%253A"),
            ('é', "caféé", "caf%C3%A9%C3%A9"),
            ('5', "%5", "%25%35"),
            (':', "", ""),
        ] {
            assert_eq!(part(stop, &value).to_string(), encoded);
        }
    }
}
