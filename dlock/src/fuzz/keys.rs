//! Keys: two different ones are two locks on every database, and a name that a server shows locks just that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use fastrand::Rng;

use super::{change, each, one, text};
use crate::__private::part;
use crate::spec::key::Key;
use crate::spec::native::{Naming, NativeKey};
use crate::spec::scheme::KeyScheme;

const NAMINGS: [Naming; 6] =
    [Naming::Id, Naming::Name, Naming::Row, Naming::AppLock, Naming::UserLock, Naming::ShortName];
const PIECES: &[&str] = &[
    "user:42",
    "User:42",
    "%",
    "~",
    "%:",
    "~:",
    "%n",
    "~n",
    "%p1,2",
    "%#",
    "~h",
    "~z",
    "%z",
    "g",
    "s1",
    "%g",
    "~s1",
    "7",
    "-7",
    " ",
    "\0",
    "é",
    "É",
    "ß",
    "ORA$",
    "'",
    "\\",
    "%20",
    "%4f",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];
/// So many keys are compared with each other.
const BATCH: usize = 4096;

fn key(random: &mut Rng) -> Key {
    match random.u8(0..12) {
        0 => Key::native(random.i64(0..1 << 30)),
        1 => Key::pair(random.i32(-9..9), random.i32(..)),
        3 => Key::from((0..random.usize(0..300)).map(|_| random.u8(..)).collect::<Vec<u8>>()),
        _ => Key::from(text(random, PIECES)),
    }
}

/// With and without a namespace: those of two never meet either.
#[test]
fn that_differ_are_different_locks() {
    let mut locks: [HashMap<NativeKey, (Key, &str)>; 6] = Default::default();
    each("keys", |random| {
        let (key, namespace) = (key(random), one(random, &["", "", "a", "a%", "a%:", "~:", "B"]));
        let is_native = key.as_bytes().is_none();
        for (naming, locks) in NAMINGS.into_iter().zip(&mut locks) {
            if locks.len() >= BATCH {
                locks.clear();
            }
            let native = KeyScheme::Dlock.native(naming, &key, namespace).unwrap();
            check_name(naming, &native);
            match locks.entry(native) {
                Entry::Vacant(free) => drop(free.insert((key.clone(), namespace))),
                Entry::Occupied(taken) => {
                    let (other, of) = taken.get();
                    // Native keys ignore namespaces.
                    let same = *other == key && (*of == namespace || is_native);
                    assert!(same, "{naming:?}: {key:?} of {namespace:?}, {other:?} of {of:?}");
                }
            }
        }
    });
}

/// What the database itself would refuse, change or take for another one.
fn check_name(naming: Naming, native: &NativeKey) {
    let NativeKey::Name(name) = native else { return };
    let printable = name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    assert!(printable, "{naming:?}: {name:?}");
    let good = match naming {
        Naming::ShortName => {
            !name.is_empty()
                && name.len() <= 64
                && !name.contains(['\'', '\\', '%', ' '])
                && *name == name.to_ascii_lowercase()
        }
        Naming::UserLock => {
            (1..=128).contains(&name.len()) && !name.to_ascii_uppercase().starts_with("ORA$")
        }
        Naming::AppLock => (1..=255).contains(&name.len()) && !name.ends_with(' '),
        _ => name.len() <= 255,
    };
    assert!(good, "{naming:?}: {name:?}");
}

/// Whatever has made it.
#[test]
fn that_a_server_shows_lock_what_is_shown() {
    each("names of a server", |random| {
        let naming = NAMINGS[random.usize(..NAMINGS.len())];
        let namespace = one(random, &["", "a", "a%:", "~:"]);
        let native = match random.u8(0..4) {
            0 => NativeKey::Id(random.i64(..)),
            1 => {
                let native = naming.native(&key(random), namespace);
                let what = one(random, &["g", "s1", "s999"]);
                if random.bool() { naming.beside(&native, what) } else { native }
            }
            _ => NativeKey::Name(text(random, PIECES)),
        };
        let (key, _) = naming.key_of(&native, Some(namespace));
        let again = naming.native(&key, namespace);
        let (NativeKey::Name(again), NativeKey::Name(native)) = (again, &native) else { return };
        // Of what belongs to a lock it is the lock.
        assert!(native.starts_with(&again) || native.len() < again.len(), "{native:?}: {again:?}");
    });
}

/// What somebody else's function makes of a key is taken as it is, or refused.
#[test]
fn of_a_custom_scheme_are_taken_or_refused() {
    each("names of a custom scheme", |random| {
        let mut name = text(random, PIECES);
        change(random, &mut name);
        let made = NativeKey::Name(name);
        let scheme = KeyScheme::Custom({
            let made = made.clone();
            std::sync::Arc::new(move |_: &Key| made.clone())
        });
        let naming = NAMINGS[random.usize(..NAMINGS.len())];
        if let Ok(native) = scheme.native(naming, &Key::from("k"), "") {
            assert_eq!(native, made);
        }
    });
}

/// In a key template a value cannot be mistaken for another one, nor for what follows it.
#[test]
fn of_templates_hold_their_values_apart() {
    each("values of templates", |random| {
        let value = text(random, PIECES);
        let stop = text(random, PIECES).chars().next().filter(|c| *c != '%').unwrap_or(':');
        let shown = part(stop, &value).to_string();
        assert!(!shown.contains(stop) || stop.is_ascii_hexdigit(), "{shown:?} has {stop:?}");
        let mut rest = shown.as_bytes();
        let mut bytes = Vec::new();
        while let [first, after @ ..] = rest {
            rest = after;
            if *first == b'%' {
                let (digits, after) = rest.split_at(2);
                let digits = std::str::from_utf8(digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = after;
            } else {
                bytes.push(*first);
            }
        }
        assert_eq!(bytes, value.as_bytes(), "{shown:?}");
    });
}
