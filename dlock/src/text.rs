//! Text: what errors say, in one word of memory; and bytes as text.

use std::fmt::{self, Debug, Display, Write as _};
use std::ops::Deref;
use std::sync::Arc;

/// A text in an [`Error`](crate::Error), to be used as a `&str`.
///
/// ```
/// let text = dlock::Text::from("GRANT USAGE");
/// assert!(text.starts_with("GRANT") && text == "GRANT USAGE");
/// ```
// Thin, so that an error stays small.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Arc<String>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(Arc::new(text.to_owned()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(Arc::new(text))
    }
}

impl Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&**self, f)
    }
}

impl Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&**self, f)
    }
}

/// Writes those bytes that are plain as they are, and each of the others as this mark and two hex digits.
pub(crate) fn escape(bytes: &[u8], mark: char, is_plain: impl Fn(u8) -> bool, out: &mut String) {
    for &byte in bytes {
        if is_plain(byte) {
            out.push(byte.into());
        } else {
            out.push(mark);
            hex(byte, out);
        }
    }
}

/// Writes a byte as two hex digits.
pub(crate) fn hex(byte: u8, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{byte:02x}");
}

/// Reads bytes from hex digits, two for each.
pub(crate) fn unhexed(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}
