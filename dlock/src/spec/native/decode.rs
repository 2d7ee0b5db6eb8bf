//! The way back: which key a name is that a server shows.

use super::{Naming, NativeKey};
use crate::spec::key::Key;

/// What a lock of the server is to the key that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The key itself, which is also the first of its permits.
    Whole,
    /// One more permit.
    Permit,
    /// Its holder waits for a permit, first in the queue.
    Gate,
}

impl Naming {
    /// The key that locks this for a locker of that namespace, and what part of it this is. No
    /// namespace: names are not made by [`KeyScheme::Dlock`](crate::KeyScheme).
    ///
    /// What cannot be undone (a hash, another namespace, a name of another program) is a key of its
    /// own, which locks just that.
    pub(crate) fn key_of(self, native: &NativeKey, namespace: Option<&str>) -> (Key, Part) {
        let NativeKey::Name(name) = native else {
            return (Key::of_native(native), Part::Whole);
        };
        let (base, part) = self.split(name);
        let whole = NativeKey::Name(base.to_owned());
        let key = namespace.and_then(|namespace| {
            // Whatever was read, it counts only if it is called just that.
            let key = self.decode(base, namespace)?;
            let is_called_so = match self.native(&key, namespace) {
                // What belongs to a lock has a name where the lock itself has a number.
                NativeKey::Id(_) => part != Part::Whole && key.name("") == base,
                native => native == whole,
            };
            is_called_so.then_some(key)
        });
        (key.unwrap_or_else(|| Key::of_native(&whole)), part)
    }

    /// What a lock that is known here is to the key that it was asked for by, whose own lock is
    /// `whole`.
    pub(crate) fn part_of(self, native: &NativeKey, whole: &NativeKey) -> Part {
        match native {
            _ if native == whole => Part::Whole,
            _ if *native == self.beside(whole, "g") => Part::Gate,
            _ => Part::Permit,
        }
    }

    fn mark(self) -> char {
        match self {
            #[cfg(feature = "mysql")]
            Naming::ShortName => '~',
            _ => '%',
        }
    }

    /// Takes off what [`beside`](Naming::beside) appends.
    fn split(self, name: &str) -> (&str, Part) {
        let Some((base, what)) = name.rsplit_once(self.mark()) else {
            return (name, Part::Whole);
        };
        match what.strip_prefix('s') {
            Some(n) if !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) => {
                (base, Part::Permit)
            }
            None if what == "g" => (base, Part::Gate),
            _ => (name, Part::Whole),
        }
    }

    fn decode(self, name: &str, namespace: &str) -> Option<Key> {
        let mark = self.mark();
        let after = |kind: char| name.strip_prefix(mark)?.strip_prefix(kind);
        if let Some(id) = after('n') {
            return id.parse().ok().map(Key::native);
        }
        if let Some((a, b)) = after('p').and_then(|pair| pair.split_once(',')) {
            return Some(Key::pair(a.parse().ok()?, b.parse().ok()?));
        }
        let end = format!("{mark}:");
        let (space, text) = name.split_once(&end).unwrap_or(("", name));
        if bytes(space, mark)? != namespace.as_bytes() {
            return None;
        }
        let is_empty = matches!((mark, text), ('~', "~z") | ('%', "%z"));
        let text = if is_empty { Vec::new() } else { bytes(text, mark)? };
        Some(Key::from(text))
    }
}

/// Undoes the escapes; `None` for a mark that is none of them.
fn bytes(text: &str, mark: char) -> Option<Vec<u8>> {
    let mut parts = text.split(mark);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namings() -> Vec<Naming> {
        vec![
            Naming::Name,
            #[cfg(feature = "sqlite")]
            Naming::Row,
            #[cfg(feature = "mssql")]
            Naming::AppLock,
            #[cfg(feature = "oracle")]
            Naming::UserLock,
            #[cfg(feature = "mysql")]
            Naming::ShortName,
        ]
    }

    #[test]
    fn names_are_undone() {
        let keys =
            ["user:42", "", " ", "100%", "~", "~z", "%n5", "é 🔒", "a%:b", "a~:b", "\0", "User"];
        let keys = keys.map(Key::from).into_iter();
        let keys = keys.chain([Key::from(b"\xff"), Key::native(-5), Key::pair(-5, 7)]);
        for key in keys {
            for naming in namings() {
                for namespace in ["", "billing", "a%:", "~:"] {
                    let native = naming.native(&key, namespace);
                    assert_eq!(naming.key_of(&native, Some(namespace)), (key.clone(), Part::Whole));
                    for (what, part) in [("s1", Part::Permit), ("g", Part::Gate)] {
                        let beside = naming.beside(&native, what);
                        assert_eq!(naming.key_of(&beside, Some(namespace)), (key.clone(), part));
                        assert_eq!(naming.part_of(&beside, &native), part);
                    }
                }
            }
        }
    }

    /// Whatever it is: the key that is shown locks just that.
    #[test]
    fn what_cannot_be_undone_is_a_key_of_its_own() {
        let long = Key::from("x".repeat(300));
        for naming in namings() {
            let foreign = naming.native(&Key::from("user:42"), "billing");
            let odd = ["%n5x", "%p1", "%é", "%c", "~h", "é", "%2B", "user%2", "a%:b%:c"];
            let odd = odd.map(|name| NativeKey::Name(name.to_owned()));
            for native in [foreign, naming.native(&long, "")].into_iter().chain(odd) {
                for namespace in ["", "other"] {
                    let (key, part) = naming.key_of(&native, Some(namespace));
                    assert_eq!(part, Part::Whole);
                    assert_eq!(naming.native(&key, namespace), native, "{key}");
                }
            }
        }
        let foreign = NativeKey::Name("billing%:user:42".into());
        let (key, _) = Naming::Name.key_of(&foreign, Some(""));
        assert_eq!((key.to_string().as_str(), key.as_bytes()), ("billing%:user:42", None));
    }
}
