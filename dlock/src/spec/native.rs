//! What the locks of a database are called by.

mod decode;

use blake2::Blake2b512;
use blake2::digest::Digest as _;

pub(crate) use self::decode::Part;
#[cfg(feature = "oracle")]
use crate::spec::encoding::cut;
#[cfg(feature = "postgres")]
use crate::spec::encoding::hash;
use crate::spec::key::Key;
pub use crate::spec::key::NativeKey;
#[cfg(any(feature = "mssql", feature = "oracle", feature = "postgres"))]
use crate::spec::key::Repr;
#[cfg(feature = "mysql")]
use crate::spec::name::LONGEST;
use crate::text::hex;

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
            Naming::ShortName => ('~', LONGEST),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
