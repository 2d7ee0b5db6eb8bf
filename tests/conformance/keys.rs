//! Different keys are different locks, whatever is in them.

use std::borrow::Cow;
use std::sync::Arc;

use dlock::Key;
use dlock_tests::{Backend, Site};

fn distinct(backend: Option<Backend>) -> Vec<Key> {
    let long = "x".repeat(10_000);
    let texts = [
        "",
        " ",
        "  ",
        "a",
        "A",
        "á",
        "a\u{301}",
        "x",
        "x ",
        " x",
        "X",
        "x\t",
        "x\n",
        "x\0",
        "\0",
        "\0\0",
        "ß",
        "ss",
        "ı",
        "i",
        "I",
        "İ",
        "🔒",
        "🔒🔒",
        "👩‍👩‍👧",
        "'",
        "''",
        "\"",
        "\\",
        "\\'",
        "'; DROP TABLE dlock_leases; --",
        "%",
        "%%",
        "%n7",
        "%25",
        "%:",
        "%#",
        "_",
        "$1",
        "?",
        "{}",
        "a%:b",
        "null",
        "NULL",
        "0",
        "00",
        "-0",
        "7",
        "07",
        "7.0",
        "é",
        "ｅ",
        "\u{202e}x",
        "\u{feff}x",
        "user:1",
        "user:10",
        "USER:1",
    ];
    let mut keys: Vec<Key> = texts.into_iter().map(Key::from).collect();
    keys.extend([Key::from(&long), Key::from(format!("{long}y")), Key::from(format!("y{long}"))]);
    keys.extend([Key::from(&long[..199]), Key::from(&long[..200]), Key::from(&long[..201])]);
    keys.extend([
        Key::from(&[0xff]),
        Key::from(&[0xfe]),
        Key::from(&[0xff, 0xff]),
        Key::from(&[0xc3]),
    ]);
    // These have no namespace, and other tests may use the server.
    if backend == Some(Backend::Oracle) {
        let id = fastrand::i64(1..1 << 30);
        keys.extend([Key::native(id), Key::native(id - 1), Key::from(id)]);
    } else {
        let id = fastrand::i64(1 << 32..);
        keys.extend([Key::native(id), Key::native(-id), Key::from(id)]);
    }
    keys
}

pub(crate) async fn of_any_content_are_distinct_locks(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let keys = distinct(site.backend);
    let mut guards = Vec::new();
    for key in &keys {
        let guard = ours.lock(key).try_acquire().await.unwrap();
        guards.push(guard.unwrap_or_else(|| panic!("{key:?} is the same lock as an earlier one")));
    }
    for (key, guard) in keys.iter().zip(guards) {
        assert_eq!(guard.key(), key);
        assert!(theirs.lock(key).try_acquire().await.unwrap().is_none(), "{key:?} excludes nobody");
        guard.release().await.unwrap();
        let next = theirs.lock(key).try_acquire().await.unwrap();
        next.unwrap_or_else(|| panic!("{key:?} is not free")).release().await.unwrap();
    }
}

pub(crate) async fn of_equal_content_are_one_lock(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let _held = ours.lock("7").acquire().await.unwrap();
    let same = [
        Key::from(7_i8),
        7_i16.into(),
        7_i32.into(),
        7_i64.into(),
        7_u8.into(),
        7_u16.into(),
        7_u32.into(),
        7_u64.into(),
        b"7".into(),
        b"7".as_slice().into(),
        vec![b'7'].into(),
        String::from("7").into(),
        (&String::from("7")).into(),
        Cow::Borrowed("7").into(),
        Arc::<str>::from("7").into(),
        Key::display(7.0),
    ];
    for key in same {
        assert!(theirs.lock(&key).try_acquire().await.unwrap().is_none(), "{key:?}");
    }
}

pub(crate) async fn of_different_namespaces_are_apart(site: Site) {
    let none = site.namespace("");
    let inner = site.namespace(&format!("{}%:a", site.namespace));
    let long = site.namespace(&site.namespace.repeat(10));
    let longer = site.namespace(&site.namespace.repeat(11));
    // Without a namespace, only a key that is the test's own may be used.
    let key = format!("{} k", site.namespace);
    let mut guards = Vec::new();
    for site in [&site, &none, &inner, &long, &longer] {
        let guard = site.locker().await.lock(&key).try_acquire().await.unwrap();
        guards.push(guard.expect("another namespace's lock"));
    }
    for site in [&site, &none, &inner, &long, &longer] {
        assert!(site.locker().await.lock(&key).try_acquire().await.unwrap().is_none());
    }
    // But an id of the database's own is what it is.
    let id = match site.backend {
        Some(Backend::Oracle) => fastrand::i64(0..1 << 30),
        _ => fastrand::i64(..),
    };
    let id = Key::native(id);
    let _held = site.locker().await.lock(&id).acquire().await.unwrap();
    assert!(none.locker().await.lock(&id).try_acquire().await.unwrap().is_none());
}
