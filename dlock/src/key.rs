//! What is locked.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::sync::Arc;

use crate::native::NativeKey;

/// The name of a lock: any bytes, of any length.
///
/// Text is its UTF-8, an integer its decimal digits: `lock(7)`, `lock("7")` and `lock(b"7")` are
/// one lock. Two different keys are two different locks on every database, whatever its collation.
/// What is not text, bytes or an integer becomes a key by [`Key::display`].
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
}

impl Key {
    /// A key from anything that can be shown: a Uuid, a date, a type of yours. Equal text is an
    /// equal key.
    pub fn display(value: impl Display) -> Self {
        Key::from(value.to_string())
    }

    /// The key of what a server shows that nobody here knows.
    pub(crate) fn of_native(native: &NativeKey) -> Self {
        match native {
            NativeKey::Id(id) => Key::native(*id),
            NativeKey::Pair(a, b) => Key::pair(*a, *b),
            NativeKey::Name(name) => Key::from(name.as_str()),
        }
    }

    /// The database's own 64-bit id, unhashed and without a namespace: the lock that
    /// `pg_advisory_lock(id)` takes by hand. On a database with named locks or a lease table it is
    /// a name that no other key has.
    pub fn native(id: i64) -> Self {
        Key(Repr::Native(id))
    }

    /// PostgreSQL's second key space, unhashed and without a namespace: the lock that
    /// `pg_advisory_lock(a, b)` takes by hand. It never meets a 64-bit id. On a database with named
    /// locks or a lease table it is a name that no other key has.
    pub fn pair(a: i32, b: i32) -> Self {
        Key(Repr::Pair(a, b))
    }

    /// The bytes that this key is. `None` for [`Key::native`] and [`Key::pair`].
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Bytes(bytes) => Some(bytes),
            Repr::Native(_) | Repr::Pair(..) => None,
        }
    }

    /// The text that this key is. `None` where [`Key::as_bytes`] is, and for bytes that are not
    /// UTF-8.
    ///
    /// ```
    /// assert_eq!(dlock::Key::from(7).as_str(), Some("7"));
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// For messages: text as it is, what cannot be shown percent-encoded, a long key cut.
impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 120;
        let name = self.name("");
        if name.chars().count() <= LONGEST {
            return f.write_str(&name);
        }
        name.chars().take(LONGEST).try_for_each(|c| f.write_char(c))?;
        f.write_str("…")
    }
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
    )*};
}
from_integer!(i8 i16 i32 i64 u8 u16 u32 u64);
