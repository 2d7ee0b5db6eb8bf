//! URLs: nothing panics, nothing shows a password, and what was encoded comes back.

use std::error::Error as _;
use std::fmt::Write as _;

use super::{each, one, text};
use crate::backend::lease::LeaseOptions;
use crate::backend::url::check;
use crate::backend::{Options, SessionLocks as _};
use crate::error::Error;

/// What a locker does with a URL before it connects, for each database. All that can be read of it afterwards: the
/// label, or the error with its sources.
fn shown(url: &str) -> String {
    let options = Options::default();
    let table = LeaseOptions::new().table_of(false).unwrap();
    if let Err(error) = check(url) {
        return all_of(&error);
    }
    let (scheme, _) = url.split_once(':').unwrap_or((url, ""));
    let bare = url.strip_prefix("lease+").unwrap_or(url);
    let label = match scheme {
        "postgres" | "postgresql" => crate::backend::postgres::Postgres::from_url(url, &options)
            .map(|b| b.label().to_owned()),
        "mysql" | "mariadb" => {
            crate::backend::mysql::MySql::from_url(url, &options).map(|b| b.label().to_owned())
        }
        "lease+postgres" => {
            use crate::backend::lease::LeaseBackend as _;
            let leases = crate::backend::postgres::lease::Postgres::from_url(bare, table, &options);
            leases.map(|b| b.label().into())
        }
        "lease+mysql" => {
            use crate::backend::lease::LeaseBackend as _;
            let leases = crate::backend::mysql::lease::MySql::from_url(bare, &table, &options);
            leases.map(|b| b.label().into())
        }
        "mssql" => crate::backend::mssql::Target::of_url(url, None).map(|t| t.label().to_owned()),
        "oracle" => crate::backend::oracle::Target::of_url(url, None).map(|t| t.label().to_owned()),
        "sqlite" => {
            use crate::backend::lease::LeaseBackend as _;
            crate::backend::sqlite::Sqlite::from_url(url, &table).map(|b| b.label().into())
        }
        _ => return String::new(),
    };
    label.unwrap_or_else(|error| all_of(&error))
}

fn all_of(error: &Error) -> String {
    let mut all = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(all, " {error} {error:?}");
        source = error.source();
    }
    all
}

const SCHEMES: [&str; 7] =
    ["postgres", "mysql", "mariadb", "lease+postgres", "lease+mysql", "mssql", "oracle"];
const PIECES: &[&str] = &[
    "postgres://",
    "mysql://",
    "mssql://",
    "oracle://",
    "sqlite://",
    "lease+postgres://",
    "lease+",
    "lease+mysql://",
    "memory:",
    "app",
    ":",
    "@",
    "/",
    "?",
    "#",
    "&",
    "=",
    ",",
    "[::1]",
    "[",
    "]",
    "localhost",
    "127.0.0.1",
    ":5432",
    ":99999",
    "%40",
    "%zz",
    "%",
    "sslmode=require",
    "host=/run",
    "ssl-mode=disabled",
    "encrypt=false",
    "charset=utf8",
    "options=-c%20a=b",
    "port=1",
    "mode=ro",
    "application_name=x",
    "..",
    "db",
    "é",
    " ",
];

#[test]
fn of_any_kind_are_read_or_refused() {
    each("urls", |random| {
        let url = text(random, PIECES);
        let _ = shown(&url);
    });
}

/// However badly it is encoded.
#[test]
fn do_not_show_their_password() {
    const SECRET: &str = "Zq7secretXv";
    const AROUND: &[&str] = &[
        "a", "@", "/", "?", "#", ":", "%", "%2", "&", "=", "[", "]", ",", "+", "é", " ", "\\", "'",
    ];
    each("passwords in urls", |random| {
        let (scheme, before, after) =
            (one(random, &SCHEMES), text(random, AROUND), text(random, AROUND));
        let user = one(random, &["app", "", "a%40b"]);
        let host = one(random, &["host", "host:1", "[::1]", "", "a,b", "host:x"]);
        let rest = one(random, &["", "/", "/db", "/db?sslmode=require", "/db?x=1", "?x=y"]);
        let url = format!("{scheme}://{user}:{before}{SECRET}{after}@{host}{rest}");
        let shown = shown(&url);
        assert!(!shown.contains(SECRET), "{url}: {shown}");
    });
}

/// Parts that are encoded as they should be.
#[test]
fn parts_come_back() {
    use crate::backend::url::Parts;
    const ANY: &[&str] = &["a", "@", "/", "?", "#", ":", "%", "é", " ", "+", "&", "=", "\0", "🔒"];
    let encoded = |text: &str| {
        let mut all = String::new();
        for byte in text.bytes() {
            let _ = match byte {
                b if b.is_ascii_alphanumeric() => write!(all, "{}", char::from(b)),
                b => write!(all, "%{b:02X}"),
            };
        }
        all
    };
    each("parts of urls", |random| {
        let [user, password, database, value] = [(); 4].map(|()| text(random, ANY));
        let port = random.u16(1..);
        let url = format!(
            "mssql://{}:{}@host:{port}/{}?name={}",
            encoded(&user),
            encoded(&password),
            encoded(&database),
            encoded(&value)
        );
        check(&url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let parts = Parts::of(&url, 1433).unwrap_or_else(|| panic!("{url}"));
        assert_eq!((parts.user, parts.password, parts.database), (user, password, database));
        assert_eq!((parts.host, parts.port), ("host", port));
        assert_eq!(parts.parameters, [("name", value)]);
    });
}
