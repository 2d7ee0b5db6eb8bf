//! How a key becomes an id, or a name.

use blake2::digest::consts::U8;
use blake2::digest::{Digest, FixedOutput, KeyInit, Mac as _};
use blake2::{Blake2b, Blake2b512, Blake2bMac};

use crate::spec::key::{Key, Repr};
use crate::text::{self, hex};

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
    pub(super) fn name_of_at_most(&self, longest: usize, namespace: &str) -> String {
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

/// Cuts a name that is too long, and ends it in its hash.
pub(super) fn cut(name: &mut String, longest: usize) {
    if name.len() > longest {
        let hash = Blake2b512::digest(&name);
        name.truncate(longest / 2);
        name.push_str("%#");
        hash.iter().take(16).for_each(|byte| hex(*byte, name));
    }
}

/// BLAKE2b with 8 bytes of output, keyed with the namespace; without one it is the plain hash.
pub(super) fn hash(namespace: &str, bytes: &[u8]) -> [u8; 8] {
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

/// All printable text but the mark itself.
fn escape(bytes: &[u8], out: &mut String) {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic() && byte != b'%';
    text::escape(bytes, '%', is_plain, out);
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
