//! The words of a line of a plan or a journal: `key=1,2 shared wait=500`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// Words that have not been asked for yet: `name=value`, or `name` alone.
#[derive(Debug)]
pub(super) struct Words<'a> {
    line: &'a str,
    words: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let words = line.split_whitespace();
        let words = words.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
        Words { line, words }
    }

    /// Whether that word was there.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.words.remove(name).is_some()
    }

    /// The text behind that name.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        self.words.remove(name)
    }

    /// The value behind that name.
    pub(super) fn value<T: FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?} in {:?}", self.line)))
    }

    /// The value behind that name, or zero or whatever stands for none.
    pub(super) fn or_default<T: FromStr + Default>(&mut self, name: &str) -> T {
        self.value(name).unwrap_or_default()
    }

    /// There must be none left.
    pub(super) fn end(self) {
        assert!(self.words.is_empty(), "unknown {:?} in {:?}", self.words, self.line);
    }
}

/// A line in the making.
#[derive(Debug, Default)]
pub(super) struct Line(String);

impl Line {
    pub(super) fn new(first: &str) -> Self {
        Line(first.to_owned())
    }

    pub(super) fn flag(&mut self, name: &str, on: bool) {
        if on {
            self.0.push(' ');
            self.0.push_str(name);
        }
    }

    /// A value; nothing when it is what a missing word stands for.
    pub(super) fn value<T: Display + Default + PartialEq>(&mut self, name: &str, value: &T) {
        if *value != T::default() {
            self.0.push_str(&format!(" {name}={value}"));
        }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!(" {name}={value}"));
    }

    pub(super) fn end(self) -> String {
        self.0
    }
}
