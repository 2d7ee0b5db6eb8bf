//! How a key becomes the database's own id of a lock.

mod decode;

use std::fmt::{self, Display, Write as _};

use blake2::digest::consts::U8;
use blake2::digest::{Digest, FixedOutput, KeyInit, Mac as _};
use blake2::{Blake2b, Blake2b512, Blake2bMac};

pub(crate) use self::decode::Part;
use crate::spec::key::{Key, Repr};

impl Key {
    /// This key as the id of a database whose locks have 64-bit ids.
    ///
    /// BLAKE2b with 8 bytes of output, read as little-endian, keyed with the namespace. Pinned by
    /// tests: a change here would let two versions of a program hold one lock.
    pub(crate) fn id(&self, namespace: &str) -> i64 {
        match &self.0 {
            Repr::Native(id) => *id,
            // Not its lock, which is in another space: an id for those who have no such space.
            Repr::Pair(..) | Repr::Name(_) => {
                i64::from_le_bytes(hash("", self.name("").as_bytes()))
            }
            Repr::Bytes(bytes) => i64::from_le_bytes(hash(namespace, bytes)),
        }
    }

    /// This key as the name of a lock, for databases whose locks have names.
    ///
    /// Readable, and ASCII, for not every database's encoding has every character: printable ASCII
    /// stands for itself, all other bytes and `%` are percent-encoded. `%` followed by something else than two hex digits therefore never comes
    /// from a key and marks the rest: `%:` ends a namespace, `%n` is a native id, `%p` a pair, `%#`
    /// the hash of a long key. Pinned by tests.
    pub(crate) fn name(&self, namespace: &str) -> String {
        /// Longer names are cut and end in a hash.
        const LONGEST: usize = 200;
        self.name_of_at_most(LONGEST, namespace)
    }

    /// The same where a name may have that many bytes.
    fn name_of_at_most(&self, longest: usize, namespace: &str) -> String {
        let mut name = String::new();
        match &self.0 {
            Repr::Native(id) => return format!("%n{id}"),
            Repr::Pair(a, b) => return format!("%p{a},{b}"),
            Repr::Name(name) => return name.as_ref().to_owned(),
            Repr::Bytes(bytes) => {
                if !namespace.is_empty() {
                    escape(namespace.as_bytes(), &mut name);
                    name.push_str("%:");
                }
                escape(bytes, &mut name);
                cut(&mut name, longest);
            }
        }
        name
    }
}

/// The database's own id of a lock.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NativeKey {
    /// A 64-bit id. PostgreSQL's advisory locks have such ids.
    Id(i64),
    /// A name. Named locks and lease tables have names.
    Name(String),
    /// Two 32-bit ids: PostgreSQL's second key space. Shown as `a,b`.
    Pair(i32, i32),
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

/// The namespace of what belongs to a lock, where all locks are numbers. No application's.
pub(crate) const BESIDE: &str = "dlock beside";

/// What the locks of a database are called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(unreachable_pub, reason = "a public trait names it, where there is a server")]
pub enum Naming {
    /// 64-bit ids, and pairs of 32-bit ids.
    #[cfg(feature = "postgres")]
    Id,
    /// Names of any length that are equal when their bytes are.
    Name,
    /// The same, in the rows of a table: at most 255 bytes, none of them zero.
    #[cfg(feature = "_database")]
    Row,
    /// Names of SQL Server's application locks: 1 to 255 bytes, and so no more UTF-16 units, that are
    /// equal when their bytes are. The server would cut longer ones.
    #[cfg(feature = "mssql")]
    AppLock,
    /// Names of Oracle's user locks, see [`USER_LOCK_NAME_MAX`], and its numbers of them, see
    /// [`USER_LOCK_ID_MAX`].
    #[cfg(feature = "oracle")]
    UserLock,
    /// Names as MySQL and MariaDB both have them, see `Key::short_name`.
    ///
    /// A key scheme may give names here that the server takes for one though their bytes differ:
    /// MySQL ignores case, MariaDB does not. So a session must not try a name that it already
    /// holds in the server's eyes, for that would be granted once more.
    #[cfg(feature = "mysql")]
    ShortName,
}

impl Naming {
    /// The name of something that belongs to a lock and is none that a key could have: a permit, a
    /// gate. Pinned by tests.
    pub(crate) fn beside(self, native: &NativeKey, what: &str) -> NativeKey {
        let of = match native {
            NativeKey::Name(name) => name.clone(),
            other => Key::of_native(other).name(""),
        };
        let (mark, longest) = match self {
            #[cfg(feature = "postgres")]
            Naming::Id => {
                let text = format!("{of}%{what}");
                return NativeKey::Id(i64::from_le_bytes(hash(BESIDE, text.as_bytes())));
            }
            Naming::Name => ('%', usize::MAX),
            #[cfg(feature = "_database")]
            Naming::Row => ('%', 255),
            #[cfg(feature = "mssql")]
            Naming::AppLock => ('%', 255),
            #[cfg(feature = "oracle")]
            Naming::UserLock => ('%', USER_LOCK_NAME_MAX),
            #[cfg(feature = "mysql")]
            Naming::ShortName => ('~', crate::spec::name::LONGEST),
        };
        let name = format!("{of}{mark}{what}");
        if name.len() <= longest {
            return NativeKey::Name(name);
        }
        let mut name = format!("{mark}");
        Blake2b512::digest(&of).iter().take(16).for_each(|byte| hex(*byte, &mut name));
        NativeKey::Name(format!("{name}{mark}{what}"))
    }

    /// What [`KeyScheme::Dlock`](crate::KeyScheme) makes of the key.
    pub(crate) fn native(self, key: &Key, namespace: &str) -> NativeKey {
        match self {
            #[cfg(feature = "postgres")]
            Naming::Id => match key.0 {
                Repr::Pair(a, b) => NativeKey::Pair(a, b),
                _ => NativeKey::Id(key.id(namespace)),
            },
            Naming::Name => NativeKey::Name(key.name(namespace)),
            #[cfg(feature = "_database")]
            Naming::Row => NativeKey::Name(key.name(namespace)),
            #[cfg(feature = "mssql")]
            Naming::AppLock => NativeKey::Name(app_lock(key, namespace)),
            #[cfg(feature = "oracle")]
            Naming::UserLock => match key.0 {
                Repr::Native(id) => NativeKey::Id(id),
                _ => NativeKey::Name(user_lock(key, namespace)),
            },
            #[cfg(feature = "mysql")]
            Naming::ShortName => NativeKey::Name(key.short_name(namespace)),
        }
    }
}

/// The name of an application lock: not empty, and without a space at its end, of which not every
/// comparison of SQL Server's takes notice.
#[cfg(feature = "mssql")]
fn app_lock(key: &Key, namespace: &str) -> String {
    let mut name = key.name(namespace);
    if matches!(key.0, Repr::Bytes(_)) {
        if name.is_empty() {
            name.push_str("%z");
        } else if name.ends_with(' ') {
            name.pop();
            name.push_str("%20");
        }
    }
    name
}

/// Cuts a name that is too long, and ends it in its hash.
fn cut(name: &mut String, longest: usize) {
    if name.len() > longest {
        let hash = Blake2b512::digest(&name);
        name.truncate(longest / 2);
        name.push_str("%#");
        hash.iter().take(16).for_each(|byte| hex(*byte, name));
    }
}

/// How many bytes the name of a user lock of Oracle's may have.
#[cfg(feature = "oracle")]
pub(crate) const USER_LOCK_NAME_MAX: usize = 128;
/// The highest number that a user may give a lock of Oracle's. Those above are the ones that
/// `ALLOCATE_UNIQUE` gives to names.
#[cfg(feature = "oracle")]
pub(crate) const USER_LOCK_ID_MAX: i64 = (1 << 30) - 1;

/// The name of a user lock of Oracle's: printable ASCII, for the database's character set may lack
/// other characters and would take all of them for one; not empty, which is NULL there; and not with
/// the beginning that Oracle keeps for itself.
#[cfg(feature = "oracle")]
fn user_lock(key: &Key, namespace: &str) -> String {
    let mut name = key.name_of_at_most(USER_LOCK_NAME_MAX, namespace);
    if matches!(key.0, Repr::Name(_)) {
        return name;
    }
    if name.is_empty() {
        name.push_str("%z");
    } else if is_oracles_own(&name) {
        let escaped = if name.starts_with('O') { "%4f" } else { "%6f" };
        name.replace_range(..1, escaped);
        cut(&mut name, USER_LOCK_NAME_MAX);
    }
    name
}

/// Returns `true` if a name begins with what Oracle keeps for its own locks.
#[cfg(feature = "oracle")]
pub(crate) fn is_oracles_own(name: &str) -> bool {
    name.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case("ORA$"))
}

/// BLAKE2b with 8 bytes of output, keyed with the namespace; without one it is the plain hash.
fn hash(namespace: &str, bytes: &[u8]) -> [u8; 8] {
    // BLAKE2b takes a key of at most 64 bytes; a longer namespace is hashed first.
    let long;
    let namespace = match namespace.as_bytes() {
        [] => return <Blake2b<U8> as Digest>::digest(bytes).into(),
        short if short.len() <= 64 => short,
        bytes => {
            long = Blake2b512::digest(bytes);
            &long
        }
    };
    match <Blake2bMac<U8> as KeyInit>::new_from_slice(namespace) {
        Ok(mac) => mac.chain_update(bytes).finalize_fixed().into(),
        // Not for a key of 1 to 64 bytes.
        Err(_) => <Blake2b<U8> as Digest>::digest(namespace).into(),
    }
}

pub(crate) fn hex(byte: u8, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{byte:02x}");
}

fn escape(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte == b' ' || byte.is_ascii_graphic() && byte != b'%' {
            out.push(byte.into());
        } else {
            out.push('%');
            hex(byte, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed with Python's hashlib.blake2b.
    #[test]
    fn ids_are_pinned() {
        let long = "n".repeat(65);
        for (key, namespace, id) in [
            // The first two are what sqlalchemy-dlock makes of the same text.
            ("user:42", "", -9_028_972_112_616_151_079),
            ("usér:42", "", -4_468_258_934_871_049_861),
            ("", "", -5_426_141_060_434_712_860),
            ("user:42", "billing", -2_770_021_850_174_673_519),
            ("user:42", &long, -1_283_009_161_994_403_414),
        ] {
            assert_eq!(Key::from(key).id(namespace), id, "{namespace}/{key}");
        }
        assert_eq!(Key::native(-5).id("any"), -5);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn natives_and_pairs_are_ids_as_they_are() {
        assert_eq!(Naming::Id.native(&Key::native(-5), "any"), NativeKey::Id(-5));
        assert_eq!(Naming::Id.native(&Key::pair(-5, 7), "any"), NativeKey::Pair(-5, 7));
        assert_eq!(
            Naming::Id.native(&Key::from(7), "").to_string(),
            Key::from(7).id("").to_string()
        );
        assert_eq!(NativeKey::Pair(i32::MIN, 7).to_string(), "-2147483648,7");
    }

    #[test]
    fn names_are_pinned() {
        for (key, namespace, name) in [
            (&b"user:42"[..], "", "user:42"),
            (b"", "", ""),
            (b"", "billing", "billing%:"),
            (b"user:42", "billing", "billing%:user:42"),
            (b"100%\n\0", "", "100%25%0a%00"),
            ("é 🔒".as_bytes(), "", "%c3%a9 %f0%9f%94%92"),
            (b"k", "é", "%c3%a9%:k"),
            (b"\xff", "", "%ff"),
            (b"b", "a%:", "a%25:%:b"),
        ] {
            assert_eq!(Key::from(key).name(namespace), name);
        }
        assert_eq!(Key::native(-5).name("any"), "%n-5");
        assert_eq!(Key::pair(-5, 7).name("any"), "%p-5,7");
        let long = Key::from("é".repeat(300)).name("");
        assert_eq!(long, format!("{}%c3%%#a1bb5d362d1817b56cd1e910ee49a849", "%c3%a9".repeat(16)));
    }

    // The hashes are computed with Python's hashlib.blake2b.
    #[test]
    fn names_beside_a_lock_are_pinned() {
        let long = "x".repeat(300);
        for (naming, native, what, name) in [
            (Naming::Name, "user:42", "s1", "user:42%s1"),
            #[cfg(feature = "sqlite")]
            (Naming::Row, "user:42", "g", "user:42%g"),
            #[cfg(feature = "mysql")]
            (Naming::ShortName, "user:42", "g", "user:42~g"),
            #[cfg(feature = "mysql")]
            (Naming::ShortName, &long, "s12", "~fe42f4108dd98f9b4f19fb21f386dfbe~s12"),
        ] {
            let native = NativeKey::Name(native.to_owned());
            assert_eq!(naming.beside(&native, what), NativeKey::Name(name.to_owned()));
        }
        #[cfg(feature = "postgres")]
        for (native, id) in [
            (NativeKey::Id(7), -3_695_444_366_645_184_448),
            (NativeKey::Pair(1, 2), 7_387_065_564_678_979_697),
        ] {
            assert_eq!(Naming::Id.beside(&native, "s1"), NativeKey::Id(id));
        }
    }

    #[cfg(feature = "oracle")]
    #[test]
    fn names_of_oracles_user_locks_are_pinned() {
        let long = "x".repeat(129);
        let near = format!("ORA${}", "x".repeat(124));
        for (key, namespace, name) in [
            ("user:42", "", "user:42"),
            ("User:42 ", "", "User:42 "),
            ("", "", "%z"),
            ("usér:42", "billing", "billing%:us%c3%a9r:42"),
            ("ORA$1", "", "%4fRA$1"),
            ("ora$1", "", "%6fra$1"),
            (&long[1..], "", &long[1..]),
            (&long, "", &format!("{}%#", &long[..64])),
            (&near, "", &format!("%4f{}%#", &near[1..62])),
        ] {
            let native = Naming::UserLock.native(&Key::from(key), namespace);
            let NativeKey::Name(found) = &native else { unreachable!() };
            assert!(found.len() <= USER_LOCK_NAME_MAX && !is_oracles_own(found), "{found}");
            assert_eq!(found.split("%#").next(), name.split("%#").next(), "{key}");
        }
        assert_eq!(Naming::UserLock.native(&Key::native(7), "any"), NativeKey::Id(7));
        let NativeKey::Name(name) = Naming::UserLock.native(&Key::from(long), "") else {
            unreachable!()
        };
        assert_eq!(&name[64..], "%#362a53bbe2ec08097b2f358a41d0e153");
    }

    #[test]
    fn different_keys_have_different_names() {
        let keys = ["a", "A", "x", "x ", "%n5", "%p5,6", "a%:b", "%", "%25", "\u{a0}", ""];
        let long = ["y".repeat(200), "y".repeat(201), "y".repeat(202)];
        let names: std::collections::HashSet<String> = keys
            .into_iter()
            .chain(long.iter().map(String::as_str))
            .flat_map(|key| ["", "a", "a%:"].map(|namespace| Key::from(key).name(namespace)))
            .chain([Key::native(5).name(""), Key::pair(5, 6).name(""), Key::pair(6, 5).name("")])
            .collect();
        assert_eq!(names.len(), 3 * 14 + 3);
    }
}
