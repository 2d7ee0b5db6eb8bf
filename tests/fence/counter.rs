//! The table of the tokens, as somebody sees it who looks into the database.

use dlock::{LeaseOptions, Locker, NativeKey};
use dlock_tests::{Backend, Site, Witness, unique};

/// A table that no other test uses.
pub(crate) struct Counter {
    pub(crate) name: String,
    site: Site,
}

impl Counter {
    /// None of that name is there yet.
    pub(crate) fn new(site: &Site) -> Self {
        Counter { name: unique("fences").replace('-', "_"), site: site.clone() }
    }

    pub(crate) fn options(&self) -> LeaseOptions {
        LeaseOptions::new().table(&self.name)
    }

    /// A client that draws its tokens there.
    pub(crate) async fn locker(&self, site: &Site) -> Locker {
        site.builder().lease_options(self.options()).connect().await.unwrap()
    }

    pub(crate) fn ddl(&self) -> String {
        let kind = if self.is_postgres() { "postgres" } else { "mysql" };
        self.options().ddl(kind).unwrap()
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.site.backend.is_some_and(Backend::is_postgres)
    }

    /// The only number that this, about the table `{}`, comes to.
    pub(crate) async fn number(&self, witness: &mut Witness, what: &str) -> i64 {
        let what = what.replace("{}", &self.name);
        let integer = if self.is_postgres() { "bigint" } else { "SIGNED" };
        let with = if self.is_postgres() { "$1::text" } else { "?" };
        let sql = format!("SELECT CAST(({what}) AS {integer}) WHERE {with} IS NOT NULL");
        witness.number(&sql, &self.site).await
    }

    pub(crate) async fn is_there(&self, witness: &mut Witness) -> bool {
        let database = if self.is_postgres() { "current_schema()" } else { "database()" };
        let sql = format!(
            "SELECT count(*) FROM information_schema.tables \
             WHERE table_name = '{}' AND table_schema = {database}",
            self.name
        );
        self.number(witness, &sql).await == 1
    }

    /// What a key's row is called.
    pub(crate) fn row(&self, locker: &Locker, key: &str) -> String {
        match locker.explain(key).native {
            NativeKey::Id(id) => format!("%n{id}"),
            NativeKey::Name(name) => name,
            other => panic!("{other:?}"),
        }
    }
}
