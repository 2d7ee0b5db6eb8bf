//! One locker with a way to its server of its own, and a user whose connections can be limited.

use std::fmt::Display;
use std::time::{Duration, Instant};

use dlock::{Guard, Key, Locker};
use dlock_tests::{Proxy, Site, Witness};
use fastrand::Rng;

/// A server may be silent for half of it before another session is asked, three seconds at the most.
pub(crate) const TTL: Duration = Duration::from_secs(6);

/// PostgreSQL does not change the rights of several roles at once: "tuple concurrently updated".
const ONE_BY_ONE: &str = "SELECT pg_advisory_xact_lock(146723)";

pub(crate) struct World {
    /// As the server sees the locker under test.
    pub(crate) site: Site,
    pub(crate) locker: Locker,
    pub(crate) sessions: u32,
    /// Another program.
    pub(crate) theirs: Locker,
    pub(crate) proxy: Proxy,
    pub(crate) witness: Witness,
    pub(crate) rng: Rng,
    /// What stays held from round to round.
    pub(crate) kept: Vec<Guard>,
    user: String,
    name: String,
    start: Instant,
    trace: Vec<String>,
    fresh: u64,
}

impl World {
    pub(crate) async fn new(base: &Site, sessions: u32, seed: u64, number: u64) -> Self {
        let user = format!("w{number}_{}", fastrand::u32(..));
        let base = base.namespace(&format!("{}-{number}", base.namespace)).ttl(TTL);
        let site = base.named(&user);
        let mut witness = Witness::at(&site.url).await;
        let theirs = base.builder().application_name("theirs").connect().await.unwrap();
        if site.backend.is_some_and(dlock_tests::Backend::is_postgres) {
            // Who comes first makes the table of tokens, for all.
            theirs.lock("table").fenced().acquire().await.unwrap().release().await.unwrap();
            let sql = format!(
                "{ONE_BY_ONE}; CREATE ROLE {user} LOGIN; GRANT ALL ON TABLE dlock_leases TO {user}; \
                 GRANT ALL ON SCHEMA public TO {user}"
            );
            witness.run(&sql).await;
        } else if is_mssql(&site) {
            // Of the double, which lets in whoever comes.
        } else if is_oracle(&site) {
            // Of the double, which lets in whose sessions have a limit.
            if can_limit(&site) {
                witness.run(&oracle_limit(&user, None)).await;
            }
        } else {
            witness.run(&format!("CREATE USER {user}@'%'")).await;
            witness.run(&format!("GRANT ALL ON `{}`.* TO {user}@'%'", database(&site.url))).await;
        }
        let url = if can_limit(&site) { as_user(&site.url, &user) } else { site.url.clone() };
        let proxy = Proxy::to(&url).await;
        let locker = site.through(proxy.url()).builder().max_sessions(sessions);
        World {
            locker: locker.connect().await.unwrap(),
            sessions,
            theirs,
            proxy,
            witness,
            rng: Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(number)),
            kept: Vec::new(),
            name: format!("world {number}, {sessions} sessions"),
            start: Instant::now(),
            trace: Vec::new(),
            fresh: 0,
            site,
            user,
        }
    }

    /// Notes what happens.
    pub(crate) fn note(&mut self, what: impl Display) {
        self.trace.push(format!("  {:>9.3?} {what}", self.start.elapsed()));
    }

    /// What went wrong, and all that led to it.
    pub(crate) fn failed(&self, what: impl Display) -> String {
        let (name, at, trace) = (&self.name, self.start.elapsed(), self.trace.join("\n"));
        format!("{name}, at {at:.3?}: {what}; before that:\n{trace}\n")
    }

    /// A key that nobody has ever had.
    pub(crate) fn fresh(&mut self) -> Key {
        self.fresh += 1;
        Key::from(format!("fresh-{}", self.fresh))
    }

    /// So many connections the locker may have from now on; `None`: as many as it wants.
    pub(crate) async fn limit(&mut self, connections: Option<u32>) {
        if !can_limit(&self.site) {
            return;
        }
        let user = &self.user;
        let sql = if self.site.backend.is_some_and(dlock_tests::Backend::is_postgres) {
            let limit = connections.map_or(-1, i64::from);
            format!("ALTER ROLE {user} CONNECTION LIMIT {limit}")
        } else if is_mssql(&self.site) {
            let limit = connections.map_or_else(String::new, |limit| limit.max(1).to_string());
            format!("EXEC dlock_double.[option] 'sessions_of_{user}', '{limit}'")
        } else if is_oracle(&self.site) {
            oracle_limit(user, connections)
        } else {
            // There 0 is no limit.
            let limit = connections.map_or(0, |connections| connections.max(1));
            format!("ALTER USER {user}@'%' WITH MAX_USER_CONNECTIONS {limit}")
        };
        self.witness.run(&sql).await;
    }

    /// Closes the locker and takes its user away.
    pub(crate) async fn end(mut self) -> Result<(), String> {
        self.locker.close().await;
        let sql = if self.site.backend.is_some_and(dlock_tests::Backend::is_postgres) {
            format!("{ONE_BY_ONE}; DROP OWNED BY {0}; DROP ROLE {0}", self.user)
        } else if is_mssql(&self.site) || is_oracle(&self.site) {
            return Ok(());
        } else {
            format!("DROP USER {}@'%'", self.user)
        };
        self.witness.run(&sql).await;
        Ok(())
    }
}

/// SQL Server itself limits no login's sessions, and Oracle only where its profiles may be changed.
pub(crate) fn can_limit(site: &Site) -> bool {
    let is_real = |variable| std::env::var_os(variable).is_some();
    !(is_mssql(site) && is_real("DLOCK_TEST_MSSQL_URL")
        || is_oracle(site) && is_real("DLOCK_TEST_ORACLE_URL"))
}

fn is_oracle(site: &Site) -> bool {
    site.backend == Some(dlock_tests::Backend::Oracle)
}

fn oracle_limit(user: &str, connections: Option<u32>) -> String {
    let limit = connections.map_or_else(String::new, |limit| limit.max(1).to_string());
    format!("BEGIN DLOCK_DOUBLE.OPTION('sessions_of_{user}', '{limit}'); END;")
}

fn is_mssql(site: &Site) -> bool {
    site.backend == Some(dlock_tests::Backend::Mssql)
}

fn database(url: &str) -> &str {
    let (_, path) = url.rsplit_once('/').unwrap();
    path.split_once('?').map_or(path, |(name, _)| name)
}

/// The same place, as another user without a password; on Oracle, with the double's.
fn as_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, server) = rest.rsplit_once('@').unwrap_or(("", rest));
    let password = if scheme == "oracle" { ":Dlock_1234" } else { "" };
    format!("{scheme}://{user}{password}@{server}")
}
