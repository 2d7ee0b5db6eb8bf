//! From what the server shows to what people are told.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::LockStatus;
use crate::sort::sort_by_key;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey, Part};
use crate::spec::scheme::KeyScheme;
use crate::status::holder::Holder;

/// One lock of the server.
pub(crate) struct Row {
    /// What it was asked for by, if this process holds or wants it.
    pub(crate) key: Option<Key>,
    pub(crate) native: NativeKey,
    pub(crate) mode: Mode,
    pub(crate) holders: Vec<Holder>,
    pub(crate) waiters: Vec<Holder>,
}

/// How many permits a lock may have.
const PERMITS_MAX: u32 = 1000;

/// What makes names of keys, for one locker.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) scheme: &'a KeyScheme,
    pub(crate) naming: Naming,
    pub(crate) namespace: &'a str,
}

impl Names<'_> {
    /// The lock of the server's that a key is, apart from its other permits.
    fn whole(self, key: &Key) -> Option<NativeKey> {
        self.scheme.native(self.naming, key, self.namespace).ok()
    }

    /// Which key a row is about, and what part of it the row is.
    fn read(self, row: &Row, permits: &HashMap<NativeKey, Key>) -> (Key, Part) {
        if let Some(key) = &row.key {
            let whole = self.whole(key);
            let part = whole.map_or(Part::Whole, |whole| self.naming.part_of(&row.native, &whole));
            return (key.clone(), part);
        }
        if let Some(key) = permits.get(&row.native) {
            return (key.clone(), Part::Permit);
        }
        let namespace = matches!(self.scheme, KeyScheme::Dlock).then_some(self.namespace);
        self.naming.key_of(&row.native, namespace)
    }

    /// Ids do not say what they are: all that permits of keys could be that are wanted here with
    /// permits.
    fn permits(self, rows: &[Row]) -> HashMap<NativeKey, Key> {
        let mut permits = HashMap::new();
        if rows.iter().any(|row| row.key.is_none() && matches!(row.native, NativeKey::Id(_))) {
            for row in rows {
                if let Some(key) = &row.key
                    && let Some(whole) = self.whole(key).filter(|whole| *whole != row.native)
                {
                    let beside = |n| self.naming.beside(&whole, &format!("s{n}"));
                    permits.extend((1..PERMITS_MAX).map(|n| (beside(n), key.clone())));
                }
            }
        }
        permits
    }
}

/// One status for each key: its permits are locks of the server's of their own.
pub(crate) fn statuses(rows: Vec<Row>, names: Names<'_>) -> Vec<LockStatus> {
    let permits = names.permits(&rows);
    let mut all: Vec<LockStatus> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for row in rows {
        let (key, part) = names.read(&row, &permits);
        let place = *places.entry(key.clone()).or_insert_with(|| {
            let whole = if part == Part::Whole { None } else { names.whole(&key) };
            all.push(LockStatus {
                key,
                native: whole.unwrap_or(row.native),
                mode: row.mode,
                holders: Vec::new(),
                waiters: Vec::new(),
            });
            all.len() - 1
        });
        let Some(status) = all.get_mut(place) else { continue };
        match part {
            // The first in the queue for a permit: it has none.
            Part::Gate => status.waiters.extend(row.holders),
            Part::Whole | Part::Permit => status.holders.extend(row.holders),
        }
        status.waiters.extend(row.waiters);
    }
    for status in &mut all {
        sort_by_key(&mut status.waiters, |waiter| Reverse(waiter.held_for));
    }
    all
}
