//! Where a test keeps its locks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock::{LeaseOptions, Locker, LockerBuilder};

use crate::backend::Backend;
use crate::database::Database;
use crate::double::Double;
use crate::temp::{Temp, unique};

/// A database and a corner of it that no other test uses, for this process and for others.
#[derive(Debug, Clone)]
pub struct Site {
    /// Which of the suite's databases it is on.
    pub backend: Option<Backend>,
    /// The database.
    pub url: String,
    /// Keys are apart from those of other tests by this.
    pub namespace: String,
    /// The lockers' name in the server's views.
    pub name: String,
    /// How long a holder that vanished keeps its locks, if not the default.
    pub ttl: Option<Duration>,
    kept: Kept,
}

/// What goes with the last of the sites that came of one another: a locker may outlive its site.
type Kept = Arc<Mutex<Vec<Thing>>>;

#[derive(Debug)]
enum Thing {
    Folder { _it: Temp },
    Database { _it: Database },
    Double { _it: Double },
}

impl Site {
    /// A site on that database; an error says why there is none.
    pub fn on(backend: Backend) -> Result<Self, String> {
        let mut kept = Vec::new();
        let url = match backend {
            Backend::Memory => format!("memory:{}", unique("test")),
            Backend::Sqlite => {
                let temp = Temp::new();
                let url = format!("sqlite://{}", temp.file("locks.db").display());
                kept.push(Thing::Folder { _it: temp });
                url
            }
            Backend::Postgres | Backend::Postgres18 => backend.server()?,
            Backend::LeasePostgres => lease(&backend.server()?),
            Backend::LeaseMySql | Backend::LeaseMariaDb => {
                let database = Database::new(&backend.server()?, &unique("dlock"));
                let url = lease(database.url());
                kept.push(Thing::Database { _it: database });
                url
            }
            Backend::Mssql | Backend::LeaseMssql => match backend.server() {
                Err(_) => {
                    let double = Double::sql_server();
                    let url = double.url().to_owned();
                    kept.push(Thing::Double { _it: double });
                    if backend.is_lease() { lease(&url) } else { url }
                }
                Ok(url) if backend.is_lease() => {
                    let database = Database::new(&url, &unique("dlock"));
                    let url = lease(database.url());
                    kept.push(Thing::Database { _it: database });
                    url
                }
                Ok(url) => url,
            },
            Backend::Oracle | Backend::LeaseOracle => {
                let url = backend.server().unwrap_or_else(|_| {
                    let double = Double::oracle();
                    let url = double.url().to_owned();
                    kept.push(Thing::Double { _it: double });
                    url
                });
                if backend.is_lease() { lease(&url) } else { url }
            }
            // There a session has no name, but its database shows.
            Backend::MySql | Backend::MariaDb | Backend::MariaDb118 => {
                let database = Database::new(&backend.server()?, &unique("dlock"));
                let url = database.url().to_owned();
                kept.push(Thing::Database { _it: database });
                url
            }
        };
        let kept = Arc::new(Mutex::new(kept));
        Ok(Site { backend: Some(backend), kept, ..Site::at(&url) })
    }

    /// A site on the database of that URL.
    pub fn at(url: &str) -> Self {
        Site {
            backend: None,
            url: url.to_owned(),
            namespace: unique("test"),
            name: unique("dlock"),
            ttl: None,
            kept: Kept::default(),
        }
    }

    /// The same with this time to live, of sessions and of leases.
    #[must_use]
    pub fn ttl(&self, ttl: Duration) -> Self {
        Site { ttl: Some(ttl), ..self.clone() }
    }

    /// The same with another name in the server's views, to tell several lockers apart there.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        let mut site = Site { name: format!("{}-{name}", self.name), ..self.clone() };
        // Leases are in the database, so there it stays the same one.
        let leases = self.url.starts_with("lease+");
        if let Some(own) = Database::name_in(&self.url).filter(|_| !leases) {
            let database = Database::new(&self.url, &format!("{own}-{name}"));
            database.url().clone_into(&mut site.url);
            // It goes before the one that it came of, by way of which it goes.
            site.kept.lock().unwrap().insert(0, Thing::Database { _it: database });
        }
        site
    }

    /// The same database with other keys.
    #[must_use]
    pub fn namespace(&self, namespace: &str) -> Self {
        Site { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// The same database by another way: through a proxy, as another role.
    #[must_use]
    pub fn through(&self, url: &str) -> Self {
        Site { url: url.to_owned(), ..self.clone() }
    }

    /// A locker with the site's settings.
    pub fn builder(&self) -> LockerBuilder {
        let builder =
            Locker::builder(&self.url).namespace(&self.namespace).application_name(&self.name);
        match self.ttl {
            Some(ttl) if self.has_leases() => builder.lease_options(LeaseOptions::new().ttl(ttl)),
            Some(ttl) => builder.session_ttl(ttl),
            None => builder,
        }
    }

    /// Whether its locks are leases.
    fn has_leases(&self) -> bool {
        self.url.starts_with("lease+") || self.url.starts_with("sqlite")
    }

    /// A client of its own.
    pub async fn locker(&self) -> Locker {
        self.builder().connect().await.unwrap()
    }

    /// A client of its own, from sync code.
    pub fn locker_blocking(&self) -> Locker {
        self.builder().connect_blocking().unwrap()
    }

    /// Draws a token for a lease and one for a session's lock, by lockers that are built so: each leaves
    /// its row in the table of leases.
    pub async fn leave_two_tokens(&self, builder: impl Fn() -> LockerBuilder) {
        for leases in [true, false] {
            let builder = builder().namespace(&self.namespace);
            let builder = if leases { builder.use_leases() } else { builder };
            let locker = builder.connect().await.unwrap();
            let guard = locker.lock(leases.to_string()).fenced().acquire().await.unwrap();
            guard.release().await.unwrap();
            locker.close().await;
        }
    }

    /// For the command line of another process.
    pub(crate) fn to_args(&self) -> [String; 4] {
        let ttl = self.ttl.map_or_else(|| "-".into(), |ttl| ttl.as_millis().to_string());
        [self.url.clone(), self.namespace.clone(), self.name.clone(), ttl]
    }

    /// From the command line.
    pub fn from_args([url, namespace, name, ttl]: [String; 4]) -> Self {
        let ttl = ttl.parse().ok().map(Duration::from_millis);
        Site { backend: None, url, namespace, name, ttl, kept: Kept::default() }
    }
}

/// The same database, where locks are leases.
fn lease(url: &str) -> String {
    format!("lease+{url}")
}
