//! Format specs, as in `<id:05>`.

/// Whether std's formatting takes this, apart from what refers to other arguments (`$`, `*`):
/// a template has none.
pub(crate) fn is_valid(spec: &str) -> bool {
    let mut rest = spec;
    let mut chars = rest.chars();
    let (first, second) = (chars.next(), chars.next());
    let is_align = |c: Option<char>| matches!(c, Some('<' | '^' | '>'));
    if let (Some(fill), true) = (first, is_align(second)) {
        if matches!(fill, '{' | '}') {
            return false;
        }
        rest = &rest[fill.len_utf8() + 1..];
    } else if is_align(first) {
        rest = &rest[1..];
    }
    rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    rest = rest.strip_prefix('#').unwrap_or(rest);
    rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    if let Some(precision) = rest.strip_prefix('.') {
        rest = precision.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() == precision.len() {
            return false;
        }
    }
    matches!(rest, "" | "?" | "x?" | "X?" | "x" | "X" | "o" | "b" | "p" | "e" | "E")
}

/// The end of the spec that begins `text`, at the `>` that closes its placeholder.
///
/// An alignment may itself be a bracket, but only with a width behind it, and `>` only as the first
/// character: `<id:x>` ends at its first `>`, and in `<a:<b>` a bracket is missing.
pub(crate) fn end(text: &str) -> Option<usize> {
    let width =
        |at: usize| text[at..].starts_with(|c: char| "+-#".contains(c) || c.is_ascii_digit());
    let mut chars = text.char_indices();
    let start = match (chars.next()?, chars.next()) {
        ((_, '<' | '^' | '>'), _) if width(1) => 1,
        (_, Some((at, '<' | '^'))) if width(at + 1) => at + 1,
        _ => 0,
    };
    let at = start + text[start..].find(['<', '>'])?;
    text[at..].starts_with('>').then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_are_those_of_std() {
        for spec in ["05", "x", "#06x", ">8", "*^8", "+.2", "?", "#?", ".3e", ""] {
            assert!(is_valid(spec), "{spec}");
        }
        for spec in ["5q", "w$", ".*", ".", "%Y-%m", " 5", "0 5", "}<5"] {
            assert!(!is_valid(spec), "{spec}");
        }
    }

    #[test]
    fn ends_at_its_bracket() {
        for (text, at) in
            [("05>x", Some(2)), (">8>", Some(2)), ("*<8>", Some(3)), ("x>:<b>", Some(1))]
        {
            assert_eq!(end(text), at, "{text}");
        }
        for text in ["05", "05 <b>", "<b>", ""] {
            assert_eq!(end(text), None, "{text}");
        }
    }
}
