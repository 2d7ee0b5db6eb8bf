//! The lease table, seen by the database's own means.

use dlock::{Locker, NativeKey};
use dlock_tests::{Site, SqlServerClient, connect_oracle, connect_sql_server};
use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _};

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) owner: String,
    pub(crate) fence: i64,
    /// Milliseconds until it runs out, on the database's clock.
    pub(crate) left: f64,
}

impl Row {
    pub(crate) fn is_held(&self) -> bool {
        self.left > 0.0
    }
}

/// A connection to the database of a site.
pub(crate) enum Rows {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
    MySql(MySqlConnection),
    Mssql(Box<SqlServerClient>),
    /// Its driver blocks, which a test does not mind.
    Oracle(Box<dlock::oracledb::Connection>),
}

impl Rows {
    pub(crate) async fn of(site: &Site) -> Self {
        let url = site.url.strip_prefix("lease+").unwrap_or(&site.url);
        match url.split_once(':').unwrap().0 {
            "sqlite" => {
                let url = format!("{url}?mode=rwc");
                Rows::Sqlite(SqliteConnection::connect(&url).await.unwrap())
            }
            "postgres" => Rows::Postgres(PgConnection::connect(url).await.unwrap()),
            "oracle" => Rows::Oracle(Box::new(connect_oracle(url, "rows"))),
            "mssql" => Rows::Mssql(Box::new(connect_sql_server(url, "a test's rows").await)),
            _ => Rows::MySql(MySqlConnection::connect(url).await.unwrap()),
        }
    }

    /// The row of that key.
    pub(crate) async fn row(&mut self, locker: &Locker, key: &str) -> Row {
        self.row_in("dlock_leases", locker, key).await
    }

    /// The same in a table of another name.
    pub(crate) async fn row_in(&mut self, table: &str, locker: &Locker, key: &str) -> Row {
        let NativeKey::Name(name) = locker.explain(key).native else {
            panic!("a lease has a name");
        };
        let text = |owner: &str, fence: &str, left: &str, place: &str| {
            let sql = format!("SELECT {owner}, {fence}, {left} FROM {table} WHERE name = {place}");
            AssertSqlSafe(sql)
        };
        if let Rows::Mssql(client) = self {
            let sql = format!(
                "SELECT owner, fence, DATEDIFF_BIG(microsecond, SYSUTCDATETIME(), expires_at) \
                 FROM {table} WHERE name = @P1"
            );
            let row = client.query(sql, &[&name.as_bytes()]).await.unwrap();
            let row = row.into_row().await.unwrap().unwrap();
            let owner = String::from_utf8(row.get::<&[u8], _>(0).unwrap().to_vec()).unwrap();
            let left = row.get::<i64, _>(2).unwrap() as f64 / 1000.0;
            return Row { owner, fence: row.get(1).unwrap(), left };
        }
        if let Rows::Oracle(client) = self {
            // Names and owners are bytes.
            let sql = format!(
                "SELECT owner, fence, EXTRACT(DAY FROM left_of_it) * 86400 \
                 + EXTRACT(HOUR FROM left_of_it) * 3600 + EXTRACT(MINUTE FROM left_of_it) * 60 \
                 + EXTRACT(SECOND FROM left_of_it) FROM (SELECT owner, fence, \
                 expires_at - SYS_EXTRACT_UTC(SYSTIMESTAMP) left_of_it FROM {table} WHERE name = :name)"
            );
            let row = client.query_row(&sql, &[&name.as_bytes()]).unwrap();
            let owner = row.get::<Option<Vec<u8>>>(0).unwrap().unwrap_or_default();
            let owner = String::from_utf8(owner).unwrap();
            let left = row.get::<f64>(2).unwrap() * 1000.0;
            return Row { owner, fence: row.get(1).unwrap(), left };
        }
        let row: (String, i64, f64) = match self {
            Rows::Sqlite(connection) => {
                let left = "CAST(expires_at - (julianday('now') - 2440587.5) * 86400000 AS REAL)";
                let row = sqlx::query_as(text("owner", "fence", left, "?")).bind(name);
                row.fetch_one(connection).await.unwrap()
            }
            Rows::Postgres(connection) => {
                let left = "CASE WHEN expires_at = 'infinity' THEN 'infinity'::float8
                     WHEN expires_at = '-infinity' THEN '-infinity'::float8
                     ELSE extract(epoch FROM expires_at - clock_timestamp())::float8 * 1000 END";
                let row = sqlx::query_as(text("owner", "fence", left, "$1")).bind(name);
                row.fetch_one(connection).await.unwrap()
            }
            Rows::MySql(connection) => {
                let left = "TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), expires_at) * 0.001E0";
                let (owner, fence) = ("CONVERT(owner USING utf8mb4)", "CAST(fence AS SIGNED)");
                let row = sqlx::query_as(text(owner, fence, left, "?")).bind(name.into_bytes());
                row.fetch_one(connection).await.unwrap()
            }
            Rows::Mssql(_) | Rows::Oracle(_) => unreachable!("it is answered above"),
        };
        let (owner, fence, left) = row;
        Row { owner, fence, left }
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, sql: &str) {
        if let Rows::Mssql(client) = self {
            client.simple_query(sql).await.unwrap().into_results().await.unwrap();
            return;
        }
        if let Rows::Oracle(client) = self {
            client.execute(sql.trim_end().trim_end_matches(';'), &[]).unwrap();
            return client.commit().unwrap();
        }
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Rows::Sqlite(connection) => drop(sql.execute(connection).await.unwrap()),
            Rows::Postgres(connection) => drop(sql.execute(connection).await.unwrap()),
            Rows::MySql(connection) => drop(sql.execute(connection).await.unwrap()),
            Rows::Mssql(_) | Rows::Oracle(_) => {}
        }
    }

    /// Keeps everybody from writing this row, until [`unlock`](Rows::unlock).
    pub(crate) async fn lock(&mut self, locker: &Locker, key: &str) {
        if let Rows::Sqlite(_) = self {
            return self.run("BEGIN IMMEDIATE").await;
        }
        let name = locker.explain(key).native;
        if let Rows::Mssql(client) = self {
            // In a batch: a transaction of a procedure's own would end with it.
            let name = name.to_string();
            let hex: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
            let sql = format!(
                "BEGIN TRANSACTION; UPDATE dlock_leases SET fence = fence WHERE name = 0x{hex}"
            );
            client.simple_query(sql).await.unwrap().into_results().await.unwrap();
            return;
        }
        if let Rows::Oracle(client) = self {
            // A transaction begins with what it writes.
            let sql = "UPDATE dlock_leases SET fence = fence WHERE name = :name";
            client.execute(sql, &[&name.to_string().as_bytes()]).unwrap();
            return;
        }
        self.run("BEGIN").await;
        self.run(&format!("SELECT 1 FROM dlock_leases WHERE name = '{name}' FOR UPDATE")).await;
    }

    pub(crate) async fn unlock(&mut self) {
        if let Rows::Oracle(client) = self {
            return client.rollback().unwrap();
        }
        // In T-SQL too.
        self.run("ROLLBACK").await;
    }
}
