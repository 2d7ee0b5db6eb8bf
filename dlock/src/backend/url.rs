//! What a URL may look like, before anything of it is read, shown or connected to.
//!
//! A password with a `/`, `?`, `#` or `@` in it that is not percent-encoded moves the borders between
//! user, host and database. What then looks like a host or a database is a part of the password, and
//! would be shown as such. So a URL whose borders are not certain is refused, and nothing of it is quoted.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// How to write what has a meaning of its own.
const ENCODE: &str = "in user and password write / ? # @ : % as %2F %3F %23 %40 %3A %25";

/// Refuses a URL that does not say beyond doubt what is what.
pub(crate) fn check(url: &str) -> Result<()> {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    match scheme.strip_prefix("lease+").unwrap_or(scheme) {
        "postgres" | "postgresql" => check_server("postgres", "5432", rest),
        "mssql" => check_server("mssql", "1433", rest),
        "sqlserver" => check_server("sqlserver", "1433", rest),
        "oracle" => check_server("oracle", "1521", rest),
        "mysql" | "mariadb" => check_server(scheme.trim_start_matches("lease+"), "3306", rest),
        "sqlite" => check_file(rest),
        _ => Ok(()),
    }
}

fn check_server(scheme: &str, port: &str, rest: &str) -> Result<()> {
    let clean = rest.strip_prefix("//").is_some_and(|rest| {
        let (_, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        !behind.contains(['@', '#'])
    });
    if clean { Ok(()) } else { Err(unreadable(scheme, port)) }
}

/// What to say of the URL of a server that cannot be read.
pub(crate) fn unreadable(scheme: &str, port: &str) -> Error {
    Error::config(format!(
        "the {scheme}:// url cannot be read, and is not shown here for the password it may have; it \
         should look like {scheme}://user:password@host:{port}/database, and {ENCODE}"
    ))
}

/// The URL of a server, taken apart.
#[cfg(any(feature = "mssql", feature = "oracle"))]
pub(crate) struct Parts<'u> {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) host: &'u str,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) parameters: Vec<(&'u str, String)>,
}

#[cfg(any(feature = "mssql", feature = "oracle"))]
impl<'u> Parts<'u> {
    /// `default_port`: where the database listens if nobody says another thing.
    pub(crate) fn of(url: &'u str, default_port: u16) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        let (host, port) = match address.strip_prefix('[') {
            // An IPv6 address.
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            None => address.split_once(':').map_or((address, None), |(h, p)| (h, Some(p))),
        };
        let parameters = query.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((name, decoded(value)?))
        });
        Some(Parts {
            user: decoded(user)?,
            password: decoded(password)?,
            host: if host.is_empty() { "localhost" } else { host },
            port: port.map_or(Some(default_port), |port| port.parse().ok())?,
            database: decoded(database)?,
            parameters: parameters.collect::<Option<_>>()?,
        })
    }
}

/// Undoes percent-encoding; `None` where it is none, or is no text.
#[cfg(any(feature = "mssql", feature = "oracle"))]
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = Cow::from(parts.next()?.as_bytes());
    for part in parts {
        // A sign is no digit, though numbers may have one.
        let digits = part.get(..2).filter(|digits| !digits.starts_with('+'))?;
        bytes.to_mut().push(u8::from_str_radix(digits, 16).ok()?);
        bytes.to_mut().extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes.into_owned()).ok()
}

/// A file has neither user nor password: where they seem to be, another database is meant.
fn check_file(rest: &str) -> Result<()> {
    let path = rest.trim_start_matches("//");
    let user = path.split(['/', '?']).next().unwrap_or_default();
    // `C:` is a drive.
    let named = user.split_once(':').is_some_and(|(user, _)| user.len() > 1);
    if named && path.contains('@') {
        return Err(Error::config(format!(
            "the sqlite:// url names a file, and has no user, password or host; write \
             sqlite://path/to/locks.db, and {ENCODE} if they are in its path"
        )));
    }
    Ok(())
}

/// The same URL in one form: `memory://x` is `memory:x`.
pub(crate) fn normal(url: &str) -> Cow<'_, str> {
    match url.strip_prefix("memory://") {
        Some(name) => Cow::Owned(format!("memory:{name}")),
        None => Cow::Borrowed(url),
    }
}

/// What to say about a scheme that is not compiled in, or not there at all.
pub(crate) fn not_there(scheme: &str) -> Error {
    const ALL: &str = "postgres://, mysql://, mariadb:// (for leases with lease+ before it), \
                       mssql://, oracle://, sqlite://, memory:";
    let known = scheme.strip_prefix("lease+").unwrap_or(scheme);
    let feature = match known {
        "postgres" | "postgresql" => Some("postgres"),
        "mssql" | "sqlserver" => Some("mssql"),
        "mysql" | "mariadb" => Some("mysql"),
        "oracle" => Some("oracle"),
        "sqlite" => Some("sqlite"),
        _ => None,
    };
    if let Some(feature) = feature {
        return Error::config(format!(
            "{scheme}: urls need dlock's feature \"{feature}\"; turn it on in Cargo.toml: \
             dlock = {{ …, features = [\"{feature}\"] }}"
        ));
    }
    // A url without a scheme may have the password at any place: none of it is shown.
    let shown = if scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !scheme.is_empty()
    {
        format!("unknown scheme {scheme}: in the database's url")
    } else {
        "the database's url has no scheme".to_owned()
    };
    match meant(scheme) {
        Some(meant) => Error::config(format!("{shown}; write {meant}")),
        None => Error::config(format!("{shown}; there are {ALL}")),
    }
}

/// What to write instead of a scheme that other libraries know.
fn meant(scheme: &str) -> Option<&'static str> {
    let lower = scheme.to_ascii_lowercase();
    let leases = lower.starts_with("lease+");
    let bare = lower.strip_prefix("lease+").unwrap_or(&lower);
    // SQLAlchemy puts the name of a driver behind a plus.
    let database = bare.split_once('+').map_or(bare, |(database, _)| database);
    Some(match (database, leases) {
        ("postgres" | "postgresql" | "postgis" | "pgsql" | "psql" | "pg" | "postgre", false) => {
            "postgres://"
        }
        ("postgres" | "postgresql" | "postgis" | "pgsql" | "psql" | "pg" | "postgre", true)
        | ("cockroach" | "cockroachdb" | "crdb" | "yugabyte" | "yugabytedb", _) => {
            "lease+postgres://"
        }
        ("mysql" | "mysql2" | "mysqlx", false) => "mysql://",
        ("mysql" | "mysql2" | "mysqlx" | "galera" | "tidb" | "vitess", _) => "lease+mysql://",
        ("mariadb", false) => "mariadb://",
        ("mariadb", true) => "lease+mariadb://",
        ("sqlite" | "sqlite2" | "sqlite3" | "file", _) => "sqlite://path/to/file",
        ("oracle" | "oracledb" | "ora", false) => "oracle://",
        ("oracle" | "oracledb" | "ora", true) => "lease+oracle://",
        ("memory" | "mem", _) => "memory:",
        ("jdbc", _) => "the url without jdbc:, as in postgres://user@host/database",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(feature = "mssql", feature = "oracle"))]
    #[test]
    #[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    fn urls_are_taken_apart() {
        let parts = Parts::of("mssql://app:p%40%2Fw@db:1500/my%20db?encrypt=false&ca=/a%26b", 1433);
        let parts = parts.unwrap();
        assert_eq!((&*parts.user, &*parts.password), ("app", "p@/w"));
        assert_eq!((parts.host, parts.port, &*parts.database), ("db", 1500, "my db"));
        assert_eq!(parts.parameters, [("encrypt", "false".into()), ("ca", "/a&b".into())]);
        let parts = Parts::of("sqlserver://[::1]", 1433).unwrap();
        assert_eq!((parts.host, parts.port, &*parts.database), ("::1", 1433, ""));
        for bad in ["mssql://h:port/db", "mssql://u:%zz@h/db", "mssql://u:%+1@h/db", "mssql:h"] {
            assert!(Parts::of(bad, 1433).is_none(), "{bad}");
        }
    }

    #[test]
    fn clean_urls_are_taken() {
        for url in [
            "postgres://app:p%2Fw%40@host:5432/db?sslmode=require",
            "postgres://app@host",
            "postgres:///db?host=/run/postgresql",
            "postgres://app:p@ss@host/db",
            "lease+mysql://app:secret@a,b:3307,c/db",
            "sqlite://locks.db?mode=rwc",
            "sqlite:///var/lib/app@home/locks.db",
            "sqlite::memory:",
            "sqlite://C:/Users/a@b/locks.db",
            "memory:x",
        ] {
            assert!(check(url).is_ok(), "{url}");
        }
    }

    /// No build of the tests has a feature off: what is said then is asked for directly.
    #[test]
    fn a_backend_that_is_off_names_its_feature() {
        for (scheme, feature) in [
            ("postgres", "postgres"),
            ("postgresql", "postgres"),
            ("mysql", "mysql"),
            ("mariadb", "mysql"),
            ("sqlite", "sqlite"),
            ("lease+postgresql", "postgres"),
            ("lease+mysql", "mysql"),
        ] {
            let text = not_there(scheme).to_string();
            assert!(text.contains(&format!("features = [\"{feature}\"]")), "{text}");
        }
    }

    #[test]
    fn a_scheme_of_another_library_gets_ours() {
        for (scheme, ours) in [
            ("postgresql+asyncpg", "write postgres://"),
            ("POSTGRES", "write postgres://"),
            ("lease+Postgres", "write lease+postgres://"),
            ("cockroachdb", "write lease+postgres://"),
            ("mysql+pymysql", "write mysql://"),
            ("lease+MySQL", "write lease+mysql://"),
            ("sqlite3", "write sqlite://"),
            ("sqlite+aiosqlite", "write sqlite://"),
            ("jdbc", "without jdbc:"),
            ("redis", "there are postgres://"),
        ] {
            let text = not_there(scheme).to_string();
            assert!(text.contains(ours), "{scheme}: {text}");
            assert!(text.contains(scheme), "{text}");
        }
    }
}
