//! Names for MySQL and MariaDB.

use blake2::Blake2b512;
use blake2::digest::Digest;

use crate::spec::key::{Key, Repr};
use crate::text::{self, hex};

/// As many characters as MySQL takes. MariaDB takes three times as many bytes.
pub(crate) const LONGEST: usize = 64;

impl Key {
    /// This key as the name of a lock of MySQL or MariaDB.
    ///
    /// The two do not agree on when names are equal: MySQL ignores case, MariaDB compares bytes in
    /// the charset of the connection. MySQL refuses the empty name, and characters outside of the
    /// basic plane. So a name has lower-case ASCII only, none that means anything in a literal, a
    /// pattern or a format, and is never empty; all else is `~` and two hex digits a byte. `~`
    /// followed by something else therefore never comes from a key and marks the rest: `~:` ends a
    /// namespace, `~n` is a native id, `~p` a pair, `~z` the empty key, `~h` the hash, of 128 bits,
    /// of what is longer than 64 characters. Pinned by tests.
    pub(crate) fn short_name(&self, namespace: &str) -> String {
        const HASH: usize = 16;
        let mut name = String::new();
        match &self.0 {
            Repr::Native(id) => return format!("~n{id}"),
            Repr::Pair(a, b) => return format!("~p{a},{b}"),
            Repr::Name(name) => return name.as_ref().to_owned(),
            Repr::Bytes(bytes) => {
                if !namespace.is_empty() {
                    escape(namespace.as_bytes(), &mut name);
                    name.push_str("~:");
                }
                escape(bytes, &mut name);
            }
        }
        if name.is_empty() {
            name.push_str("~z");
        }
        if name.len() > LONGEST {
            let hash = Blake2b512::digest(&name);
            name.truncate(LONGEST - 2 * HASH - 2);
            // An escape is not cut in two.
            if let Some(cut) = name.rfind('~').filter(|at| at + 3 > name.len()) {
                name.truncate(cut);
            }
            name.push_str("~h");
            hash.iter().take(HASH).for_each(|byte| hex(*byte, &mut name));
        }
        name
    }
}

/// What no collation, pattern or format changes.
fn escape(bytes: &[u8], out: &mut String) {
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.:/,=@+".contains(&byte)
    };
    text::escape(bytes, '~', is_plain, out);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    // The hashes are computed with Python's hashlib.blake2b.
    #[test]
    fn names_are_pinned() {
        let xs = "x".repeat(65);
        for (key, namespace, name) in [
            (&b"user:42"[..], "", "user:42".to_owned()),
            (b"User:42 ", "", "~55ser:42~20".to_owned()),
            ("é~'\\%".as_bytes(), "", "~c3~a9~7e~27~5c~25".to_owned()),
            (b"", "", "~z".to_owned()),
            (b"", "billing", "billing~:".to_owned()),
            (b"user:42", "Billing", "~42illing~:user:42".to_owned()),
            (&xs.as_bytes()[1..], "", xs[1..].to_owned()),
            (
                "U".repeat(30).as_bytes(),
                "",
                format!("{}~h2688121673db58abfd13597cfa0e9c5f", "~55".repeat(10)),
            ),
            (
                xs.as_bytes(),
                "billing",
                format!("billing~:{}~h9249c11a3a274489c1add1ae3a9cef6a", "x".repeat(21)),
            ),
        ] {
            assert_eq!(Key::from(key).short_name(namespace), name);
        }
        assert_eq!(Key::native(i64::MIN).short_name("any"), "~n-9223372036854775808");
        assert_eq!(Key::pair(-5, 7).short_name("any"), "~p-5,7");
        // The thirtieth character is that of an escape.
        let cut = Key::from(format!("{}{}", "x".repeat(28), "É".repeat(20))).short_name("");
        assert!(cut.starts_with(&format!("{}~h", "x".repeat(28))), "{cut}");
    }

    fn keys() -> Vec<Key> {
        let x = |n| "x".repeat(n);
        let mut texts: Vec<String> = [
            "", " ", "  ", "a", "A", "a ", "A ", " a", "a\t", "a\0", "\0", "aa", "AA", "aA", "á",
            "Á", "à", "a\u{301}", "ß", "ss", "SS", "ı", "i", "I", "İ", "ﬁ", "fi", "🔒", "\u{a0}",
            "'", "''", "\\", "\"", "%", "%%", "_", "~", "~~", "~z", "~Z", "~h", "~n5", "~p5,6",
            "~:", "~20", "~7e20", "~41", "a~:b", "ns~:a", "NS~:a", "ns", "0", "5", "-5", "5,6",
            "null", "NULL",
        ]
        .map(str::to_owned)
        .to_vec();
        for long in [63, 64, 65, 66, 1000, 1001] {
            texts.extend([x(long), x(long).to_uppercase(), "é".repeat(long), " ".repeat(long)]);
            texts.extend([format!("{}y", x(long - 1)), format!("{}Y", x(long - 1))]);
        }
        // What a long key is called is a key as well.
        texts.extend([x(65), x(1000)].map(|key| Key::from(key).short_name("")));
        texts.extend([x(64), x(1000)].map(|key| Key::from(key).short_name("ns")));
        let natives = [0, 5, -5, 56, i64::MIN, i64::MAX].map(Key::native);
        let pairs = [(0, 0), (5, 6), (6, 5), (56, 0), (i32::MIN, i32::MAX)];
        texts
            .into_iter()
            .map(Key::from)
            .chain([Key::from(b"\xff"), Key::from(b"\xfe"), Key::from(b"a\xff")])
            .chain(natives)
            .chain(pairs.map(|(a, b)| Key::pair(a, b)))
            .collect()
    }

    /// Whatever a server does to names before it compares them.
    #[test]
    fn different_keys_have_different_names() {
        let mut names: HashMap<String, (Key, &str)> = HashMap::new();
        for namespace in ["", "a", "A", "ns", "ns~:a", " ", "~", &"n".repeat(64), &"n".repeat(65)] {
            for key in keys() {
                let name = key.short_name(namespace);
                assert!(!name.is_empty() && name.len() <= 64, "{name}");
                assert!(
                    name.bytes().all(|b| b.is_ascii_graphic()
                        && !b.is_ascii_uppercase()
                        && !b"'\"\\%`?{}$".contains(&b)),
                    "{name}"
                );
                let seen = name.to_ascii_lowercase().trim_end_matches(' ').to_owned();
                // Native ids and pairs have no namespace.
                let space = if key.as_bytes().is_some() { namespace } else { "" };
                let other = names.insert(seen, (key.clone(), space));
                let same = other.as_ref().is_none_or(|(k, n)| *k == key && *n == space);
                assert!(same, "{key:?} in {namespace:?} and {other:?} are {name}");
            }
        }
    }
}
