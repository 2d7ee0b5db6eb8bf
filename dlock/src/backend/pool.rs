//! Pool: what `Locker::from_pool` takes, and connections like those of a pool.

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use self::like::connect;
#[cfg(feature = "postgres")]
pub(crate) use self::like::{LikePool, or_why};

/// An sqlx pool of one of the databases that are compiled in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Pool {
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
    /// MySQL or MariaDB.
    #[cfg(feature = "mysql")]
    MySql(sqlx::MySqlPool),
    /// SQLite: its leases are kept in a file beside it, `<file>-dlock`, for a long write
    /// transaction of the application would block the renewal of its own lock.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::SqlitePool),
}

#[cfg(feature = "postgres")]
impl From<sqlx::PgPool> for Pool {
    fn from(pool: sqlx::PgPool) -> Self {
        Pool::Postgres(pool)
    }
}

#[cfg(feature = "postgres")]
impl From<&sqlx::PgPool> for Pool {
    fn from(pool: &sqlx::PgPool) -> Self {
        Pool::Postgres(pool.clone())
    }
}

#[cfg(feature = "mysql")]
impl From<sqlx::MySqlPool> for Pool {
    fn from(pool: sqlx::MySqlPool) -> Self {
        Pool::MySql(pool)
    }
}

#[cfg(feature = "mysql")]
impl From<&sqlx::MySqlPool> for Pool {
    fn from(pool: &sqlx::MySqlPool) -> Self {
        Pool::MySql(pool.clone())
    }
}

#[cfg(feature = "sqlite")]
impl From<sqlx::SqlitePool> for Pool {
    fn from(pool: sqlx::SqlitePool) -> Self {
        Pool::Sqlite(pool)
    }
}

#[cfg(feature = "sqlite")]
impl From<&sqlx::SqlitePool> for Pool {
    fn from(pool: &sqlx::SqlitePool) -> Self {
        Pool::Sqlite(pool.clone())
    }
}

/// Connections that are made as a pool makes its own, and are not its own.
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod like {
    use std::future::pending;
    use std::io::{Error as IoError, ErrorKind};
    use std::time::Duration;

    use sqlx::pool::PoolOptions;
    use sqlx::{ConnectOptions, Connection, Database, Pool};
    use tokio::time::{sleep, timeout};

    /// How a connection of this kind is made.
    type HowOf<DB> = <<DB as Database>::Connection as Connection>::Options;

    /// How long connecting may take before it is looked into.
    const PROMPT: Duration = Duration::from_millis(500);
    /// An `after_connect` that fails is called again and again; not for longer than this.
    const AFTER_CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

    /// What a pool of one connection has, made as another pool makes its own.
    pub(crate) trait LikePool: Sized {
        /// The same, where each connection is used once.
        fn for_one(self) -> Self;
        /// As that pool's, with its `after_connect`.
        fn like(pool: &Pool<Self::Database>) -> Self;
        type Database: Database;
    }

    impl<DB: Database> LikePool for PoolOptions<DB> {
        type Database = DB;

        fn for_one(self) -> Self {
            self.max_connections(1)
                .min_connections(0)
                .max_lifetime(None)
                .idle_timeout(None)
                .test_before_acquire(false)
                // A session that we have given up must not be kept.
                .after_release(|_, _| Box::pin(async { Ok(false) }))
        }

        fn like(pool: &Pool<DB>) -> Self {
            pool.options().clone().acquire_timeout(AFTER_CONNECT_TIME_MAX)
        }
    }

    /// Connects as the pool does, its `after_connect` included, but by these options.
    pub(crate) async fn connect<DB: Database>(
        pool: &Pool<DB>,
        how: HowOf<DB>,
    ) -> sqlx::Result<DB::Connection> {
        let alone = PoolOptions::like(pool).for_one().connect_lazy_with(how.clone());
        // The stack has no room for its future, which has that of a whole connect in it.
        let connecting = Box::pin(alone.acquire());
        Box::pin(or_why(connecting, &how)).await.map(|connection| connection.detach())
    }

    /// sqlx's pool tries again and again by itself when nobody listens, or the server has no
    /// connection left, or is about to start; we want to know. So when it takes long, one more
    /// connection finds out why.
    pub(crate) async fn or_why<T>(
        connecting: impl Future<Output = sqlx::Result<T>>,
        how: &impl ConnectOptions<Connection: Sized>,
    ) -> sqlx::Result<T> {
        let mut connecting = std::pin::pin!(connecting);
        let connected = match timeout(PROMPT, &mut connecting).await {
            Ok(connected) => connected,
            Err(_) => {
                let probe = async {
                    match how.connect().await {
                        Ok(connection) => {
                            drop(connection);
                            pending().await
                        }
                        Err(error) => {
                            // It may be the first one that has taken the last place.
                            sleep(PROMPT).await;
                            error
                        }
                    }
                };
                tokio::select! {
                    biased;
                    connected = connecting => connected,
                    error = probe => Err(error),
                }
            }
        };
        connected.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => sqlx::Error::Io(IoError::new(
                ErrorKind::TimedOut,
                "the pool made no connection in time; if it has an after_connect that fails, sqlx has \
                 logged why",
            )),
            error => error,
        })
    }
}
