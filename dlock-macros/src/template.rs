//! Key templates: text with placeholders, `"user:<user_id>"`.

use std::ops::Range;

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::parse::Parser;

use crate::spec;

/// A key template, read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Value(Placeholder),
}

/// `<req.user.id:05>`: a parameter, a path into it, and how to write it.
#[derive(Debug, PartialEq)]
pub(crate) struct Placeholder {
    pub(crate) root: String,
    pub(crate) path: Vec<Step>,
    pub(crate) spec: String,
    /// Where the root's name stands in the template, in bytes.
    pub(crate) at: Range<usize>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Field(String),
    Index(u32),
    Call(String),
}

/// Something wrong, and where in the template, in bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
}

impl Template {
    /// The placeholders.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(value) => Some(value),
            Part::Text(_) => None,
        })
    }

    /// The character that must not occur in the value of part `index`, for it is what ends it.
    /// None for a value at the very end, which nothing has to end.
    pub(crate) fn stop(&self, index: usize) -> Option<char> {
        match self.parts.get(index + 1) {
            Some(Part::Text(text)) => text.chars().next(),
            _ => None,
        }
    }

    fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

/// Reads a template to its end, whatever is wrong in it.
pub(crate) fn parse(text: &str) -> (Template, Vec<Mistake>) {
    let mut template = Template::default();
    let mut mistakes = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('<').map(|offset| at + offset) {
        template.push_text(&text[at..open]);
        if text[open + 1..].starts_with('<') {
            template.push_text("<");
            at = open + 2;
            continue;
        }
        let Some(close) = close(text, open) else {
            let end = text[open + 1..].find('<').map_or(text.len(), |offset| open + 1 + offset);
            mistakes.push(Mistake {
                at: open..end,
                message: "this placeholder is not closed; a plain `<` is written `<<`".to_owned(),
            });
            at = end;
            continue;
        };
        at = close + 1;
        match placeholder(text, open..at) {
            Ok(value) => {
                mistakes.extend(ambiguous(&template, &text[at..], open..at));
                template.parts.push(Part::Value(value));
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    template.push_text(&text[at..]);
    (template, mistakes)
}

/// Where the placeholder that opens at `open` ends.
fn close(text: &str, open: usize) -> Option<usize> {
    let body = open + 1;
    let end = body + text[body..].find(['<', '>', ':'])?;
    match text.as_bytes()[end] {
        b'>' => Some(end),
        b':' => spec::end(&text[end + 1..]).map(|offset| end + 1 + offset),
        _ => None,
    }
}

/// Two tuples of values must never make one key, so each value needs a certain end.
fn ambiguous(before: &Template, after: &str, at: Range<usize>) -> Option<Mistake> {
    let message = if matches!(before.parts.last(), Some(Part::Value(_))) {
        "two placeholders side by side could make one key of different values; \
         put a character between them"
    } else if after.starts_with('%') {
        "a `%` cannot follow a placeholder, for it marks what is encoded in a value; \
         use another separator"
    } else {
        return None;
    };
    Some(Mistake { at, message: message.to_owned() })
}

fn placeholder(text: &str, at: Range<usize>) -> Result<Placeholder, Mistake> {
    let inside = &text[at.start + 1..at.end - 1];
    let (path, spec) = inside.split_once(':').unwrap_or((inside, ""));
    let wrong = |message: String| Err(Mistake { at: at.clone(), message });
    if path.is_empty() {
        return wrong(
            "this placeholder names no parameter; a plain `<` is written `<<`".to_owned(),
        );
    }
    let mut names = path.split('.');
    let root = names.next().unwrap_or_default();
    let steps: Option<Vec<Step>> = names.map(step).collect();
    let (true, Some(path)) = (is_name(root), steps) else {
        return wrong(
            "a placeholder is a parameter, its fields and calls without arguments, as in \
             `<id>`, `<req.user.id>`, `<req.tenant()>`; for more, write `key = format!(..)`"
                .to_owned(),
        );
    };
    if !spec::is_valid(spec) {
        return wrong(format!("`{spec}` is no format, as `05` in `<{root}:05>` would be"));
    }
    let at = at.start + 1..at.start + 1 + root.len();
    Ok(Placeholder { root: root.to_owned(), path, spec: spec.to_owned(), at })
}

fn step(name: &str) -> Option<Step> {
    if let Some(method) = name.strip_suffix("()") {
        return is_member(method).then(|| Step::Call(method.to_owned()));
    }
    if is_member(name) {
        return Some(Step::Field(name.to_owned()));
    }
    let is_index = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|_| is_index).map(Step::Index)
}

/// A name, also one that is a keyword: a raw parameter or field is written without its `r#`.
fn is_name(text: &str) -> bool {
    // A blank or a comment beside a name would be skipped.
    text != "_" && Ident::parse_any.parse_str(text).is_ok_and(|ident| ident == text)
}

fn is_member(text: &str) -> bool {
    is_name(text) && !["self", "Self", "super", "crate"].contains(&text)
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
