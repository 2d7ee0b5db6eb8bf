//! What a scheme makes of keys, and on which databases.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use super::*;

#[cfg(any(feature = "mysql", feature = "postgres"))]
fn pals(app: &str) -> KeyScheme {
    KeyScheme::Pals { app: app.to_owned() }
}

fn custom(make: impl Fn(&Key) -> NativeKey + Send + Sync + 'static) -> KeyScheme {
    KeyScheme::Custom(Arc::new(make))
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
fn why(native: Result<NativeKey>) -> String {
    let error = native.unwrap_err();
    assert!(matches!(error, Error::InvalidKey { .. }), "{error:?}");
    error.to_string()
}

// What sqlalchemy-dlock 0.9.0, PALs 0.4.0 and postgresql-lock 0.2.2 make of these; the rest is
// computed with Python's hashlib as they do.
#[cfg(feature = "postgres")]
#[test]
fn ids_are_those_of_the_libraries() {
    for (scheme, key, id) in [
        (KeyScheme::SqlalchemyDlock, "user:42", -9_028_972_112_616_151_079),
        (KeyScheme::SqlalchemyDlock, "usér:42", -4_468_258_934_871_049_861),
        (pals("my-app"), "user:42", 4_962_556_931_055_713_310),
        (pals("my-app"), "usér:42", 8_785_206_178_824_569_463),
        (pals("my-app"), "", 1_793_809_937_378_010_183),
        (pals(""), "user:42", 2_999_901_834_984_681_901),
        (pals(""), "usér:42", 8_000_543_030_312_088_387),
        // What PALs makes of "user:42" for an app whose name is empty, and not None.
        (pals(""), ".user:42", 6_991_069_261_676_496_715),
        (KeyScheme::PostgresqlLock, "user:42", -5_912_860_019_488_284_375),
        (KeyScheme::PostgresqlLock, "usér:42", 4_878_518_057_902_999_407),
        (KeyScheme::PostgresqlLock, "", -2_721_964_255_587_120_371),
    ] {
        let native = scheme.native(Naming::Id, &key.into(), "").unwrap();
        assert_eq!(native, NativeKey::Id(id), "{scheme:?} {key}");
        assert!(scheme.check(Naming::Id, "postgres").is_ok());
    }
}

#[cfg(feature = "postgres")]
#[test]
fn ids_pass_through_every_scheme() {
    let schemes = [
        KeyScheme::Dlock,
        KeyScheme::SqlalchemyDlock,
        pals("my-app"),
        KeyScheme::PostgresqlLock,
        custom(|key| panic!("asked about {key}")),
    ];
    for scheme in schemes {
        let native = |key: Key| scheme.native(Naming::Id, &key, "").unwrap();
        assert_eq!(native(Key::native(i64::MIN)), NativeKey::Id(i64::MIN));
        assert_eq!(native(Key::pair(-1, 2)), NativeKey::Pair(-1, 2));
    }
}

#[cfg(feature = "mysql")]
#[test]
fn names_of_sqlalchemy_dlock_are_the_text() {
    let name = |key: Key| KeyScheme::SqlalchemyDlock.native(Naming::ShortName, &key, "");
    let longest = "é".repeat(64);
    for text in ["user:42", "usér:42", "User'\\%~ ", &longest] {
        assert_eq!(name(text.into()).unwrap(), NativeKey::Name(text.to_owned()));
    }
    assert_eq!(name(7.into()).unwrap(), name(Key::native(7)).unwrap());
    assert_eq!(name(Key::native(-7)).unwrap(), NativeKey::Name("-7".to_owned()));
    assert!(why(name("é".repeat(65).into())).contains("65 characters"));
    assert!(why(name("".into())).contains("empty"));
    assert!(why(name(b"\xff".into())).contains("UTF-8"));
    assert!(why(name(Key::pair(1, 2))).contains("pairs"));
}

#[test]
fn custom_names_and_ids_on_names() {
    let as_is = custom(|key| NativeKey::Name(format!("%n{key}")));
    let native = |scheme: &KeyScheme, key: Key| scheme.native(Naming::Name, &key, "").unwrap();
    assert_eq!(native(&as_is, 5.into()), NativeKey::Name("%n5".to_owned()));
    assert_eq!(native(&as_is, Key::native(5)), NativeKey::Name("%n5".to_owned()));
    let id = custom(|_| NativeKey::Id(5));
    assert_eq!(native(&id, "a".into()), native(&KeyScheme::Dlock, Key::native(5)));
    let pair = custom(|_| NativeKey::Pair(5, 6));
    assert_eq!(native(&pair, "a".into()), native(&KeyScheme::Dlock, Key::pair(5, 6)));
}

#[cfg(feature = "postgres")]
#[test]
fn custom_names_on_ids_are_refused() {
    let native = |scheme: KeyScheme| scheme.native(Naming::Id, &"a".into(), "");
    assert_eq!(native(custom(|_| NativeKey::Id(5))).unwrap(), NativeKey::Id(5));
    assert_eq!(native(custom(|_| NativeKey::Pair(5, 6))).unwrap(), NativeKey::Pair(5, 6));
    let why = why(native(custom(|_| NativeKey::Name("a".into()))));
    assert!(why.contains("lock \"a\"") && why.contains("NativeKey::Id"), "{why}");
}

#[cfg(feature = "mysql")]
#[test]
fn custom_names_on_short_names() {
    let native = |text: &str| {
        let text = text.to_owned();
        custom(move |_| NativeKey::Name(text.clone())).native(Naming::ShortName, &"a".into(), "")
    };
    assert_eq!(native("A b").unwrap(), NativeKey::Name("A b".to_owned()));
    assert!(native(&"é".repeat(64)).is_ok());
    assert!(why(native(&"x".repeat(65))).contains("65 characters"));
    assert!(why(native("")).contains("empty"));
    let id = custom(|_| NativeKey::Id(5)).native(Naming::ShortName, &"a".into(), "").unwrap();
    assert_eq!(id, NativeKey::Name("~n5".to_owned()));
    let pair = custom(|_| NativeKey::Pair(5, 6)).native(Naming::ShortName, &"a".into(), "");
    assert_eq!(pair.unwrap(), NativeKey::Name("~p5,6".to_owned()));
}

#[cfg(feature = "mysql")]
#[test]
fn databases_without_such_locks_are_refused() {
    let refused = |scheme: &KeyScheme, naming| {
        let error = scheme.check(naming, "the database").unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Unsupported { .. }), "{text}");
        assert!(text.contains("the database") && text.contains("PostgreSQL"), "{text}");
        // Nor does anything come of it if it is asked all the same.
        why(scheme.native(naming, &"a".into(), ""));
    };
    for scheme in [pals("a"), KeyScheme::PostgresqlLock] {
        refused(&scheme, Naming::Name);
        refused(&scheme, Naming::ShortName);
    }
    refused(&KeyScheme::SqlalchemyDlock, Naming::Name);
    for scheme in [KeyScheme::Dlock, custom(|_| NativeKey::Id(1)), KeyScheme::SqlalchemyDlock] {
        scheme.check(Naming::ShortName, "").unwrap();
    }
}

#[test]
fn is_shown_without_its_function() {
    assert_eq!(format!("{:?}", custom(|_| NativeKey::Id(1))), "Custom(..)");
    assert_eq!(format!("{:?}", KeyScheme::default()), "Dlock");
}

// The first two are what sqlalchemy-dlock 0.9.0 itself makes; the others are computed as it does,
// with Python's hashlib.
#[cfg(feature = "oracle")]
#[test]
fn numbers_of_oracles_locks_are_those_of_sqlalchemy_dlock() {
    let scheme = KeyScheme::SqlalchemyDlock;
    assert!(scheme.check(Naming::UserLock, "oracle").is_ok());
    for (key, id) in GOLDEN {
        let native = scheme.native(Naming::UserLock, &(*key).into(), "").unwrap();
        assert_eq!(native, NativeKey::Id(*id), "{key}");
    }
    let native = |key: Key| scheme.native(Naming::UserLock, &key, "");
    assert_eq!(native(Key::native(7)).unwrap(), NativeKey::Id(7));
    assert!(native(Key::pair(1, 2)).is_err());
}

#[cfg(feature = "oracle")]
const GOLDEN: &[(&str, i64)] =
    &[("user:42", 1016801241), ("usér:42", 780908923), ("", 396404452), ("a", 966719552)];

/// Such a number would be another lock's if it were wrapped.
#[cfg(feature = "oracle")]
#[test]
fn numbers_that_oracle_lacks_are_refused() {
    for scheme in [KeyScheme::Dlock, KeyScheme::SqlalchemyDlock, custom(|_| NativeKey::Id(1 << 30))]
    {
        let native = |id| scheme.native(Naming::UserLock, &Key::native(id), "");
        assert_eq!(native((1 << 30) - 1).unwrap(), NativeKey::Id((1 << 30) - 1));
        assert_eq!(native(0).unwrap(), NativeKey::Id(0));
        for id in [-1, 1 << 30, i64::MIN, i64::MAX] {
            let error = native(id).unwrap_err();
            assert!(matches!(error, Error::InvalidKey { .. }), "{error:?}");
            assert!(error.to_string().contains("0 to 1073741823"), "{error}");
        }
    }
    let wrapped = custom(|_| NativeKey::Id(1 << 30)).native(Naming::UserLock, &"k".into(), "");
    assert!(wrapped.unwrap_err().to_string().contains("0 to 1073741823"));
}

#[cfg(feature = "oracle")]
#[test]
fn names_that_oracle_may_change_are_refused() {
    let native = |name: &str| {
        let name = name.to_owned();
        custom(move |_| NativeKey::Name(name.clone())).native(Naming::UserLock, &"k".into(), "")
    };
    let longest = "x".repeat(128);
    for name in ["Job 7", "job 7 ", &longest] {
        assert_eq!(native(name).unwrap(), NativeKey::Name(name.into()));
    }
    for name in ["", "usér", "a\n", "ora$x", &"x".repeat(129)] {
        assert!(matches!(native(name).unwrap_err(), Error::InvalidKey { .. }), "{name}");
    }
}
