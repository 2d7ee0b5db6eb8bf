//! KeyScheme: the rules by which a key becomes a lock of the database.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::spec::key::{Key, Repr};
#[cfg(feature = "oracle")]
use crate::spec::native::USER_LOCK_ID_MAX;
use crate::spec::native::{Naming, NativeKey};

/// Why there is no such lock, and what to do.
type Why = Box<str>;

/// How a key becomes the database's own id of a lock.
///
/// With the scheme of another library, a program with dlock and one with that library take the same
/// lock if they use the same key on the same database. So one can replace the other, or run beside
/// it. Tests compare the ids with those of these libraries.
///
/// [`Key::native`] and [`Key::pair`] are ids already. Where the database has such ids, no scheme
/// changes them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
/// use std::sync::Arc;
///
/// use dlock::{Key, KeyScheme, Locker, NativeKey};
///
/// // Another program of ours takes `job/<key>`.
/// let jobs = KeyScheme::Custom(Arc::new(|key: &Key| {
///     NativeKey::Name(format!("job/{}", key.as_str().unwrap_or("?")))
/// }));
/// let locker = Locker::builder("memory:docs-scheme").key_scheme(jobs).connect().await?;
/// let guard = locker.lock("export").acquire().await?;
///
/// let other = Locker::connect("memory:docs-scheme").await?;
/// assert!(other.lock("job/export").try_acquire().await?.is_none());
/// guard.release().await
/// # }
/// ```
///
/// Together with a Python program that locks with PALs:
///
/// ```no_run
/// # async fn connect() -> dlock::Result<()> {
/// use dlock::{KeyScheme, Locker};
///
/// let locker = Locker::builder("postgres://app@db/app")
///     .key_scheme(KeyScheme::Pals { app: "my-app".into() })
///     .connect()
///     .await?;
/// // `pals.Locker("my-app", url).lock("user:42")`
/// let lock = locker.lock("user:42");
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum KeyScheme {
    /// dlock's own scheme, for every database. An id is the key's BLAKE2b with 8 bytes of output,
    /// little-endian, keyed with the namespace. Names are readable.
    #[default]
    Dlock,
    /// The scheme of [sqlalchemy-dlock](https://github.com/tanbro/sqlalchemy-dlock) 0.9, on
    /// PostgreSQL, MySQL, MariaDB, SQL Server and Oracle.
    ///
    /// * On PostgreSQL the id is that of a `str` or `bytes` key on a little-endian machine. The
    ///   library uses the machine's own byte order.
    /// * On MySQL and MariaDB the name is the key's text without change, at most 64 characters. On
    ///   MySQL, keys that differ only in case are then one lock.
    /// * On SQL Server the name is the key's text too, at most 255 bytes.
    /// * On Oracle the number is that of a `str` or `bytes` key on a little-endian machine. It has
    ///   30 bits. So among 4,600 keys, the probability that two of them are one lock is 1 %.
    ///
    /// An `int` key of that library is an id: use [`Key::native`], because `7` is the text `7`
    /// here. On MySQL, MariaDB and SQL Server, where the library uses its decimal digits, both mean
    /// the same lock. On Oracle the library takes such a number modulo 2³⁰. dlock refuses numbers
    /// that this would change.
    SqlalchemyDlock,
    /// The scheme of [PALs](https://github.com/level12/pals) 0.4, on PostgreSQL. The id is made of
    /// `<app>.<key>`: the first 8 bytes of its SHA-1, on a little-endian machine. The library uses
    /// the machine's own byte order.
    Pals {
        /// The name that its `Locker` was made with. Empty stands for its `None`: the key alone.
        /// For an empty name in PALs, which leaves the dot, put the dot into the key.
        app: String,
    },
    /// The scheme of the Python package postgresql-lock 0.2, on PostgreSQL: the first 8 bytes of
    /// the key's SHA-1, big-endian. The key is Python's `str(key)`, so `Lock(conn, 7)` there is the
    /// key `7` here.
    PostgresqlLock,
    /// The scheme of the table of
    /// [django-database-locks](https://github.com/fopina/django-database-locks) 0.5, on PostgreSQL,
    /// MySQL and MariaDB, as leases. Django's migrations make the table, which has no fencing
    /// tokens. The name is the key's text without change, at most 255 bytes.
    ///
    /// Django compares a lock's end with the clock of its own machine. dlock compares it with the
    /// clock of the database's server. Keep the two clocks synchronized. Owner names are the same
    /// on both sides, see [`Lock::owner`](crate::Lock::owner).
    DjangoDatabaseLocks,
    /// Your own function, which makes the database's id of a key, on every database.
    ///
    /// On PostgreSQL it must return a [`NativeKey::Id`] or [`NativeKey::Pair`]. On other databases,
    /// a [`NativeKey::Name`] is the lock's name without change (MySQL and MariaDB: 1 to 64
    /// characters; Oracle: 1 to 128 characters of printable ASCII). An id or a pair is there the
    /// name that [`Key::native`] or [`Key::pair`] has. Keys for which the function returns the same
    /// are one lock. It is not called for [`Key::native`] and [`Key::pair`].
    /// [`Locker::lock`](crate::Locker::lock) calls it, and a panic in it reaches the caller.
    Custom(Arc<dyn Fn(&Key) -> NativeKey + Send + Sync>),
}

impl KeyScheme {
    /// The lock of this key, or why there is none.
    pub(crate) fn native(&self, naming: Naming, key: &Key, namespace: &str) -> Result<NativeKey> {
        if let Repr::Name(_) = key.0 {
            return Ok(naming.native(key, ""));
        }
        let native = match (self, key.as_bytes()) {
            (KeyScheme::Dlock, _) => Ok(naming.native(key, namespace)),
            (KeyScheme::Custom(make), Some(_)) => naming.accept(make(key)),
            (KeyScheme::Custom(_), None) => Ok(naming.native(key, "")),
            _ => self.foreign(naming, key),
        };
        let native = native.and_then(|native| naming.has_number(native));
        native.map_err(|why| Error::invalid_key(key, why))
    }

    fn foreign(&self, naming: Naming, key: &Key) -> Result<NativeKey, Why> {
        match (naming, &key.0) {
            #[cfg(feature = "postgres")]
            (Naming::Id, Repr::Bytes(bytes)) => Ok(NativeKey::Id(self.id(key, bytes))),
            #[cfg(feature = "postgres")]
            (Naming::Id, _) => Ok(naming.native(key, "")),
            #[cfg(feature = "mysql")]
            (Naming::ShortName, repr) if matches!(self, KeyScheme::SqlalchemyDlock) => match repr {
                Repr::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => fits(text.to_owned()),
                    Err(_) => Err("its bytes are not UTF-8, which names of sqlalchemy-dlock are; \
                                   use text"
                        .into()),
                },
                Repr::Native(id) => Ok(NativeKey::Name(id.to_string())),
                Repr::Pair(..) | Repr::Name(_) => {
                    Err("sqlalchemy-dlock has no pairs; use text or Key::native".into())
                }
            },
            #[cfg(feature = "mssql")]
            (Naming::AppLock, repr) if matches!(self, KeyScheme::SqlalchemyDlock) => match repr {
                Repr::Bytes(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => fits_an_app_lock(text.to_owned()),
                    Err(_) => Err("its bytes are not UTF-8, which names of sqlalchemy-dlock are; \
                                   use text"
                        .into()),
                },
                Repr::Native(id) => Ok(NativeKey::Name(id.to_string())),
                Repr::Pair(..) | Repr::Name(_) => {
                    Err("sqlalchemy-dlock has no pairs; use text or Key::native".into())
                }
            },
            #[cfg(feature = "oracle")]
            (Naming::UserLock, repr) if matches!(self, KeyScheme::SqlalchemyDlock) => match repr {
                Repr::Bytes(_) => Ok(NativeKey::Id(key.id("") & USER_LOCK_ID_MAX)),
                Repr::Native(id) => Ok(NativeKey::Id(*id)),
                Repr::Pair(..) | Repr::Name(_) => {
                    Err("sqlalchemy-dlock has no pairs; use text or Key::native".into())
                }
            },
            #[cfg(feature = "_database")]
            (Naming::Row, Repr::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => fits_a_row(text.to_owned()),
                Err(_) => {
                    Err("its bytes are not UTF-8, which names of django-database-locks are; \
                               use text"
                        .into())
                }
            },
            // `check` has refused it.
            _ => Err("it has no locks of the key scheme; use KeyScheme::Dlock".into()),
        }
    }

    #[cfg(feature = "postgres")]
    fn id(&self, key: &Key, bytes: &[u8]) -> i64 {
        match self {
            KeyScheme::Pals { app } if app.is_empty() => i64::from_le_bytes(sha1(&[bytes])),
            KeyScheme::Pals { app } => i64::from_le_bytes(sha1(&[app.as_bytes(), b".", bytes])),
            KeyScheme::PostgresqlLock => i64::from_be_bytes(sha1(&[bytes])),
            // The same hash in the same order as ours, without a namespace.
            KeyScheme::Dlock
            | KeyScheme::SqlalchemyDlock
            | KeyScheme::DjangoDatabaseLocks
            | KeyScheme::Custom(_) => key.id(""),
        }
    }

    /// Whether its locks are rows of the table of django-database-locks.
    #[cfg(feature = "_database")]
    pub(crate) fn is_django(&self) -> bool {
        matches!(self, KeyScheme::DjangoDatabaseLocks)
    }

    /// Refuses a namespace that the scheme has no place for.
    pub(crate) fn check_namespace(&self, namespace: &str) -> Result<()> {
        if namespace.is_empty() || matches!(self, KeyScheme::Dlock) {
            return Ok(());
        }
        Err(Error::config(format!(
            "the key scheme {self:?} has no namespaces, and the locker has \"{namespace}\"; leave \
             the namespace away, and put what keeps keys apart into them"
        )))
    }

    /// Refuses a database that has no locks of this scheme.
    pub(crate) fn check(&self, naming: Naming, database: &str) -> Result<()> {
        let only = match (self, naming) {
            (KeyScheme::Dlock | KeyScheme::Custom(_), _) => return Ok(()),
            #[cfg(feature = "_database")]
            (KeyScheme::DjangoDatabaseLocks, Naming::Row) => return Ok(()),
            (KeyScheme::DjangoDatabaseLocks, _) => {
                return Err(Error::Unsupported {
                    backend: database.into(),
                    what: format!("locks of the key scheme {self:?}").into(),
                    instead: "they are leases: put lease+ before the url".into(),
                });
            }
            #[cfg(feature = "postgres")]
            (_, Naming::Id) => return Ok(()),
            #[cfg(feature = "mysql")]
            (KeyScheme::SqlalchemyDlock, Naming::ShortName) => return Ok(()),
            #[cfg(feature = "mssql")]
            (KeyScheme::SqlalchemyDlock, Naming::AppLock) => return Ok(()),
            #[cfg(feature = "oracle")]
            (KeyScheme::SqlalchemyDlock, Naming::UserLock) => return Ok(()),
            (KeyScheme::SqlalchemyDlock, _) => {
                "locks of PostgreSQL, MySQL, MariaDB, SQL Server or Oracle itself"
            }
            (KeyScheme::Pals { .. } | KeyScheme::PostgresqlLock, _) => "locks of PostgreSQL itself",
        };
        Err(Error::Unsupported {
            backend: database.into(),
            what: format!("locks of the key scheme {self:?}").into(),
            instead: format!(
                "they are {only}: connect there without lease+, or leave the key scheme away"
            )
            .into(),
        })
    }
}

impl Naming {
    /// A native key that somebody else made, if the database can have it.
    fn accept(self, native: NativeKey) -> Result<NativeKey, Why> {
        match (self, native) {
            #[cfg(feature = "postgres")]
            (Naming::Id, NativeKey::Name(_)) => Err("its locks have numbers and the key scheme \
                                                     made a name; let it return NativeKey::Id or \
                                                     NativeKey::Pair"
                .into()),
            #[cfg(feature = "mysql")]
            (Naming::ShortName, NativeKey::Name(name)) => fits(name),
            #[cfg(feature = "mssql")]
            (Naming::AppLock, NativeKey::Name(name)) => fits_an_app_lock(name),
            #[cfg(feature = "oracle")]
            (Naming::UserLock, NativeKey::Name(name)) => fits_a_user_lock(name),
            #[cfg(feature = "_database")]
            (Naming::Row, NativeKey::Name(name)) => fits_a_row(name),
            (_, NativeKey::Name(name)) => Ok(NativeKey::Name(name)),
            (_, NativeKey::Id(id)) => Ok(self.native(&Key::native(id), "")),
            (_, NativeKey::Pair(a, b)) => Ok(self.native(&Key::pair(a, b), "")),
        }
    }
}

impl Naming {
    /// Refuses a number that the database cannot have. It is never wrapped into one that is another
    /// lock's.
    fn has_number(self, native: NativeKey) -> Result<NativeKey, Why> {
        match (self, &native) {
            #[cfg(feature = "oracle")]
            (Naming::UserLock, NativeKey::Id(id)) if !(0..=USER_LOCK_ID_MAX).contains(id) => {
                Err(format!(
                    "its number is {id}, and numbers of Oracle's locks are 0 to {USER_LOCK_ID_MAX}; \
                     use such a number, or text"
                )
                .into())
            }
            _ => Ok(native),
        }
    }
}

/// A name, if a user lock of Oracle's can have it, whatever the database's character set is.
#[cfg(feature = "oracle")]
fn fits_a_user_lock(name: String) -> Result<NativeKey, Why> {
    use crate::spec::native::{USER_LOCK_NAME_MAX, is_oracles_own};
    let is_plain = name.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_plain && (1..=USER_LOCK_NAME_MAX).contains(&name.len()) && !is_oracles_own(&name) {
        return Ok(NativeKey::Name(name));
    }
    Err(format!(
        "the key scheme made the name {name:?}; on Oracle names are 1 to {USER_LOCK_NAME_MAX} \
         characters of printable ASCII and do not begin with ORA$: use another name, or \
         KeyScheme::Dlock, which takes any key"
    )
    .into())
}

/// A name, if the tables of all databases can have it.
#[cfg(feature = "_database")]
fn fits_a_row(name: String) -> Result<NativeKey, Why> {
    const LONGEST: usize = 255;
    if name.len() > LONGEST || name.contains('\0') {
        return Err(format!(
            "the key scheme made a name of {} bytes for the lease table; {LONGEST} is the most, none \
             of them zero: use a shorter key, or KeyScheme::Dlock, which hashes long ones",
            name.len()
        )
        .into());
    }
    Ok(NativeKey::Name(name))
}

/// A name, if an application lock of SQL Server can have it, and of Babelfish, which counts bytes.
#[cfg(feature = "mssql")]
fn fits_an_app_lock(name: String) -> Result<NativeKey, Why> {
    const LONGEST: usize = 255;
    match name.len() {
        0 => Err("the key scheme made an empty name; give it a character or more".into()),
        1..=LONGEST => Ok(NativeKey::Name(name)),
        n => Err(format!(
            "the key scheme made a name of {n} bytes and {LONGEST} is the most; use a shorter key, or \
             KeyScheme::Dlock, which hashes long ones"
        )
        .into()),
    }
}

/// A name, if MySQL and MariaDB can have it.
#[cfg(feature = "mysql")]
fn fits(name: String) -> Result<NativeKey, Why> {
    use crate::spec::name::LONGEST;
    match name.chars().count() {
        0 => Err("the key scheme made an empty name; give it a character or more".into()),
        1..=LONGEST => Ok(NativeKey::Name(name)),
        n => Err(format!(
            "the key scheme made a name of {n} characters and {LONGEST} is the most; \
             use a shorter key, or KeyScheme::Dlock, which hashes long ones"
        )
        .into()),
    }
}

/// The first 8 bytes of these parts' SHA-1.
#[cfg(feature = "postgres")]
fn sha1(parts: &[&[u8]]) -> [u8; 8] {
    use sha1::{Digest as _, Sha1};
    let mut hash = Sha1::new();
    parts.iter().for_each(|part| hash.update(part));
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 20]>::from(hash.finalize());
    [a, b, c, d, e, f, g, h]
}

impl fmt::Debug for KeyScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyScheme::Dlock => f.write_str("Dlock"),
            KeyScheme::SqlalchemyDlock => f.write_str("SqlalchemyDlock"),
            KeyScheme::Pals { app } => f.debug_struct("Pals").field("app", app).finish(),
            KeyScheme::PostgresqlLock => f.write_str("PostgresqlLock"),
            KeyScheme::DjangoDatabaseLocks => f.write_str("DjangoDatabaseLocks"),
            KeyScheme::Custom(_) => f.write_str("Custom(..)"),
        }
    }
}

#[cfg(test)]
mod tests;
