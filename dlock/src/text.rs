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

/// Writes a byte as two hex digits.
pub(crate) fn hex(byte: u8, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{byte:02x}");
}
