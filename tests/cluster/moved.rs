//! A server whose name leads to another address from now on, as after a fail-over in a cloud.

use std::time::Duration;

use dlock_tests::{
    Backend, Names, Proxy, Server, Site, Temp, clock, eventually_async, history, is_long,
    limited_in_runtime, not_run, taker, tell,
};
use tokio::time::sleep;

use crate::figures::{Figures, Outcome};
use crate::nodes::host;

const SECOND: Duration = Duration::from_secs(1);
const TTL: Duration = Duration::from_secs(3);
/// How soon a process must use the new address, on a busy machine.
const SOON: Duration = Duration::from_secs(20);
const NAME: &str = "db.dlock.test";

/// What becomes of the old address.
#[derive(Debug, Clone, Copy)]
enum Old {
    /// Connections to it end, and it takes none.
    Refuses,
    /// Nothing comes back from there.
    IsSilent,
}

impl Old {
    fn name(self) -> &'static str {
        match self {
            Old::Refuses => "the name moves, the old address refuses",
            Old::IsSilent => "the name moves, the old address is silent",
        }
    }
}

/// The server of a URL by that name and by the port of this proxy.
fn by_name(url: &str, proxy: &Proxy) -> String {
    let port = host(proxy.url()).rsplit_once(':').unwrap().1;
    url.replacen(host(url), &format!("{NAME}:{port}"), 1)
}

async fn move_once(url: &str, names: &Names, old: Old) -> Duration {
    let before = Proxy::at("127.0.0.2:0", url).await;
    // The same port, for it is in the URL.
    let after = host(before.url()).replacen("127.0.0.2", "127.0.0.3", 1);
    let _after = Proxy::at(&after, url).await;
    names.set(NAME, "127.0.0.2");
    let site = Site::at(&by_name(url, &before)).ttl(TTL);
    let folder = Temp::new();
    let file = folder.file("history");
    let mut taker = taker!(site, by names.launch(), "history", 2, file.display());
    taker.says("begun").await;
    let granted = |from: u64| {
        let mut holds = history::read(&file, "the taker", true);
        holds.retain(|hold| hold.from > from);
        holds.iter().map(|hold| hold.from).min()
    };
    eventually_async("grants", SOON, async || granted(0).is_some()).await;
    sleep(2 * SECOND).await;
    names.set(NAME, "127.0.0.3");
    match old {
        Old::Refuses => drop(before),
        Old::IsSilent => {
            before.go_silent();
            // Until the end.
            std::mem::forget(before);
        }
    }
    // Answers that were on their way may still bring grants.
    let moved = clock::now();
    sleep(SECOND / 10).await;
    let mut next = None;
    eventually_async(old.name(), SOON, async || {
        sleep(SECOND / 20).await;
        next = granted(moved + 100_000_000);
        next.is_some()
    })
    .await;
    taker.tell("stop");
    taker.says("done").await;
    let holds = history::read(&file, "the taker", false);
    history::verify(&holds, Duration::ZERO).unwrap();
    Duration::from_nanos(next.unwrap() - moved)
}

fn moves(backend: Backend, lease: bool, database: &'static str) {
    limited_in_runtime(Duration::from_secs(if is_long() { 1150 } else { 120 }), async move || {
        let Some(names) = Names::new() else {
            return not_run("a server's name that leads elsewhere", "needs root (unshare)");
        };
        let Some(server) = Server::start(backend, &[]) else { return };
        let program = match backend {
            Backend::MySql => "MySQL",
            Backend::MariaDb => "MariaDB",
            _ => "PostgreSQL",
        };
        tell("DLOCK_TEST_FAILOVERS", &format!("with {program} {}", server.version()));
        let url = if lease { format!("lease+{}", server.url()) } else { server.url().into() };
        for old in [Old::Refuses, Old::IsSilent] {
            let mut figures = Figures::new(old.name());
            for _ in 0..if is_long() { 10 } else { 1 } {
                figures.add(Outcome::pause(move_once(&url, &names, old).await));
            }
            figures.report_to("DLOCK_TEST_FAILOVERS", &database);
        }
    });
}

#[test]
fn postgres() {
    moves(Backend::Postgres, false, "postgres");
}

#[test]
fn mysql() {
    moves(Backend::MySql, false, "mysql");
}

#[test]
fn mariadb() {
    moves(Backend::MariaDb, false, "mariadb");
}

#[test]
fn lease_postgres() {
    moves(Backend::Postgres, true, "lease_postgres");
}

#[test]
fn lease_mysql() {
    moves(Backend::MySql, true, "lease_mysql");
}

#[test]
fn lease_mariadb() {
    moves(Backend::MariaDb, true, "lease_mariadb");
}
