//! Key: the name of a lock.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The name of a lock: any bytes, of any length.
///
/// Text stands for its UTF-8 bytes, and an integer for its decimal digits: `lock(7)`, `lock("7")` and `lock(b"7")`
/// are one lock. Two different keys are two different locks on every database, whatever its collation. Other values
/// become a key by [`Key::display`].
///
/// ```
/// use dlock::Key;
///
/// assert_eq!(Key::from("7"), Key::from(7));
/// assert_eq!(Key::display(std::net::Ipv4Addr::LOCALHOST), Key::from("127.0.0.1"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub(crate) Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Repr {
    Bytes(Arc<[u8]>),
    Native(i64),
    Pair(i32, i32),
    /// What a server calls a lock that no other key of this locker is.
    Name(Arc<str>),
}

impl Key {
    /// Creates a key from any value that implements `Display`: a Uuid, a date, your own type. Equal text makes equal
    /// keys.
    pub fn display(value: impl Display) -> Self {
        Key::from(value.to_string())
    }

    /// The key of just that lock, whatever it is that it is called by.
    pub(crate) fn of_native(native: &NativeKey) -> Self {
        match native {
            NativeKey::Id(id) => Key::native(*id),
            NativeKey::Pair(a, b) => Key::pair(*a, *b),
            NativeKey::Name(name) => Key(Repr::Name(name.as_str().into())),
        }
    }

    /// Creates the key of the database's own 64-bit id: the lock that `pg_advisory_lock(id)` takes by hand. It is not
    /// hashed, and ignores namespaces and schemes. On a database with named locks or a lease table it is a name that
    /// no other key has.
    pub fn native(id: i64) -> Self {
        Key(Repr::Native(id))
    }

    /// Creates a key of PostgreSQL's second key space: the lock that `pg_advisory_lock(a, b)` takes by hand. It is not
    /// hashed, and ignores namespaces and schemes. It never meets a 64-bit id. On a database with named locks or a
    /// lease table it is a name that no other key has.
    pub fn pair(a: i32, b: i32) -> Self {
        Key(Repr::Pair(a, b))
    }

    /// Returns the bytes of this key. `None` for [`Key::native`], [`Key::pair`], and the locks of other programs in
    /// [`Locker::status`](crate::Locker::status).
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Bytes(bytes) => Some(bytes),
            Repr::Native(_) | Repr::Pair(..) | Repr::Name(_) => None,
        }
    }

    /// Returns the text of this key. `None` where [`Key::as_bytes`] is `None`, and for bytes that are not UTF-8.
    ///
    /// ```
    /// assert_eq!(dlock::Key::from(7).as_str(), Some("7"));
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// The database's own id of a lock.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NativeKey {
    /// A 64-bit id. PostgreSQL's advisory locks have such ids.
    Id(i64),
    /// A name. Named locks and lease tables have names.
    Name(String),
    /// Two 32-bit ids: PostgreSQL's second key space. Shown as `a,b`.
    Pair(i32, i32),
}

/// The variant is not hashed: the locks of a locker are mostly of one.
impl Hash for NativeKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            NativeKey::Id(id) => id.hash(state),
            NativeKey::Name(name) => name.hash(state),
            NativeKey::Pair(a, b) => (a, b).hash(state),
        }
    }
}

impl Display for NativeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NativeKey::Id(id) => id.fmt(f),
            NativeKey::Name(name) => name.fmt(f),
            NativeKey::Pair(a, b) => write!(f, "{a},{b}"),
        }
    }
}

/// Types that can name a lock: everything that is `Into<Key>`. The trait exists for the compiler's
/// hint.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key",
    label = "expected text, bytes or an integer",
    note = "anything that is `Display` can be part of a template, as in `key = \"user:<id>\"`, and \
            is a key with `dlock::Key::display(..)`"
)]
pub trait IntoKey {
    /// Converts the value into a key.
    fn into_key(self) -> Key;
}

#[diagnostic::do_not_recommend]
impl<K: Into<Key>> IntoKey for K {
    fn into_key(self) -> Key {
        self.into()
    }
}

/// Shows the key in messages. Control characters are escaped as in a Rust literal (`\n`, `\u{202e}`), and bytes that
/// are not UTF-8 as `\xff`. A long key is cut. To look a key up on the server, use
/// [`Locker::explain`](crate::Locker::explain): the server's name for it may be escaped or hashed.
///
/// ```
/// assert_eq!(dlock::Key::from("100%").to_string(), "100%");
/// assert_eq!(dlock::Key::from("two\nlines").to_string(), r"two\nlines");
/// ```
impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = match &self.0 {
            Repr::Bytes(bytes) => bytes,
            Repr::Name(name) => name.as_bytes(),
            // A name that no text has.
            Repr::Native(_) | Repr::Pair(..) => return f.write_str(&self.name("")),
        };
        let chunks = bytes.utf8_chunks();
        let mut shown = chunks.flat_map(|chunk| {
            let text = chunk.valid().chars().map(Shown::Char);
            text.chain(chunk.invalid().iter().copied().map(Shown::Byte))
        });
        shown.by_ref().take(DISPLAY_CHARS_MAX).try_for_each(|part| part.fmt(f))?;
        shown.next().map_or(Ok(()), |_| f.write_char('…'))
    }
}

/// A message stays readable; the whole key is in the error's field.
const DISPLAY_CHARS_MAX: usize = 120;

/// A part of a key, as a message shows it: on one line, and without power over a terminal.
enum Shown {
    Char(char),
    Byte(u8),
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Shown::Char(c) if is_harmless(c) => f.write_char(c),
            Shown::Char(c) => c.escape_default().fmt(f),
            Shown::Byte(byte) => write!(f, "\\x{byte:02x}"),
        }
    }
}

/// Whether a character neither breaks the line, nor hides, nor turns text around.
fn is_harmless(c: char) -> bool {
    let is_format = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c == ' ' || !(c.is_control() || c.is_whitespace() || is_format)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Key(Repr::Bytes(bytes.into()))
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl<const N: usize> From<&[u8; N]> for Key {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

macro_rules! from_bytes {
    ($($type:ty => $bytes:ident),* $(,)?) => {$(
        impl From<$type> for Key {
            fn from(value: $type) -> Self {
                value.$bytes().into()
            }
        }
    )*};
}
from_bytes! {
    &str => as_bytes,
    String => as_bytes,
    &String => as_bytes,
    Cow<'_, str> => as_bytes,
    Arc<str> => as_bytes,
    Vec<u8> => as_slice,
}

macro_rules! from_integer {
    ($($type:ty)*) => {$(
        impl From<$type> for Key {
            fn from(value: $type) -> Self {
                value.to_string().into()
            }
        }

        impl From<&$type> for Key {
            fn from(value: &$type) -> Self {
                (*value).into()
            }
        }
    )*};
}
from_integer!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

impl From<char> for Key {
    fn from(value: char) -> Self {
        value.encode_utf8(&mut [0; 4]).as_bytes().into()
    }
}

impl From<&char> for Key {
    fn from(value: &char) -> Self {
        (*value).into()
    }
}

impl From<&&str> for Key {
    fn from(value: &&str) -> Self {
        value.as_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_it_was_written_on_one_line() {
        for (key, shown) in [
            (Key::from("user:42"), "user:42"),
            (Key::from("100% \"é\" 'a\\b'"), "100% \"é\" 'a\\b'"),
            (Key::from("a%3Ab"), "a%3Ab"),
            (Key::from("a\nb\u{1b}[31m\u{202e}\u{a0}"), r"a\nb\u{1b}[31m\u{202e}\u{a0}"),
            (Key::from(b"\xff\0x"), r"\xff\u{0}x"),
            (Key::native(-5), "%n-5"),
            (Key::pair(-5, 7), "%p-5,7"),
            (Key::from("e\u{301}"), "e\u{301}"),
            (Key::from("é".repeat(120)), &*"é".repeat(120)),
            (Key::from("é".repeat(121)), &*format!("{}…", "é".repeat(120))),
        ] {
            assert_eq!(key.to_string(), shown);
        }
    }
}
