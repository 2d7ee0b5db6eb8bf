//! A schema of a test's own.

use std::time::Duration;

use dlock::{LeaseOptions, Locker, LockerBuilder};
use dlock_tests::{Site, unique};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// Its table is called as always.
pub(crate) struct Corner {
    pub(crate) site: Site,
    pub(crate) schema: String,
    pub(crate) raw: PgConnection,
}

impl Corner {
    pub(crate) async fn new(site: &Site) -> Self {
        let schema = unique("s").replace('-', "_");
        let raw = PgConnection::connect(plain(&site.url)).await.unwrap();
        let mut corner = Corner { site: site.clone(), schema, raw };
        corner.run("CREATE SCHEMA {schema}").await;
        corner
    }

    pub(crate) fn table(&self) -> String {
        format!("{}.dlock_leases", self.schema)
    }

    pub(crate) fn options(&self) -> LeaseOptions {
        LeaseOptions::new().table(self.table()).ttl(Duration::from_secs(6))
    }

    pub(crate) fn builder(&self) -> LockerBuilder {
        self.site.builder().lease_options(self.options())
    }

    pub(crate) async fn locker(&self) -> Locker {
        self.builder().connect().await.unwrap()
    }

    /// Runs statements; `{schema}` and `{table}` are its own.
    pub(crate) async fn run(&mut self, sql: &str) {
        let sql = self.fill(sql);
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.raw)
            .await
            .unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    /// The first column of the first row.
    pub(crate) async fn text(&mut self, sql: &str) -> String {
        let sql = AssertSqlSafe(self.fill(sql));
        sqlx::raw_sql(sql).fetch_one(&mut self.raw).await.unwrap().get(0)
    }

    fn fill(&self, sql: &str) -> String {
        sql.replace("{schema}", &self.schema).replace("{table}", &self.table())
    }

    /// The same as another role, which has these settings and no more rights than everybody.
    pub(crate) async fn role(&mut self, settings: &[&str]) -> Site {
        let role = format!("{}_role", self.schema);
        self.run(&format!("CREATE ROLE {role} LOGIN")).await;
        for setting in settings {
            self.run(&format!("ALTER ROLE {role} SET {setting}")).await;
        }
        let (_, rest) = self.site.url.rsplit_once('@').unwrap();
        self.site.through(&format!("lease+postgres://{role}@{rest}"))
    }

    /// At the end of a test that had a role.
    pub(crate) async fn drop(mut self) {
        let role = format!("{}_role", self.schema);
        self.run(&format!(
            "DROP SCHEMA {{schema}} CASCADE; DO $$BEGIN IF EXISTS (SELECT FROM pg_roles \
             WHERE rolname = '{role}') THEN DROP OWNED BY {role} CASCADE; DROP ROLE {role}; \
             END IF; END$$"
        ))
        .await;
    }
}

/// The URL as others than dlock read it.
pub(crate) fn plain(url: &str) -> &str {
    url.strip_prefix("lease+").unwrap_or(url)
}
