//! Every fault of a server by itself, under a holder: what it costs, as for those of holders.

use std::time::{Duration, Instant};

use dlock::Locker;
use dlock_tests::{Backend, Launch, Server, Site, Witness, clock};
use sqlx::{Connection as _, MySqlConnection, PgConnection};
use tokio::time::sleep;

use crate::faults::{BEFORE, HEARTBEAT, MEANWHILE, NEWS, TTL, rounds};
use crate::figures::{Figures, Outcome};
use crate::holder::Holder;

/// How long sessions are ended again and again.
const STORM: Duration = Duration::from_millis(1500);
/// More than a test needs at once.
const CONNECTIONS: usize = 40;

/// What happens to a server.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Restarted,
    Crashed,
    Frozen,
    Storm,
    Full,
}

/// Connections that are open until it is over.
#[derive(Default)]
struct Crowd {
    postgres: Vec<PgConnection>,
    mysql: Vec<MySqlConnection>,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Fault::Restarted => "the server restarts",
            Fault::Crashed => "the server crashes",
            Fault::Frozen => "the server is frozen",
            Fault::Storm => "all sessions are ended, for 1.5 s",
            Fault::Full => "the server takes no connections",
        }
    }

    /// For how long the holder may go on beside the next one. A session lock ends with its session, and the next one
    /// may be there before the news.
    fn overlap_max(self, backend: Backend) -> Duration {
        match self {
            _ if backend.is_lease() => Duration::ZERO,
            Fault::Frozen | Fault::Full => Duration::ZERO,
            _ if backend.is_silent() => NEWS + HEARTBEAT,
            _ => NEWS,
        }
    }

    /// Whether the holder cannot keep its lock.
    fn is_loss(self, backend: Backend) -> bool {
        match self {
            Fault::Frozen => true,
            Fault::Full => false,
            Fault::Restarted | Fault::Crashed | Fault::Storm => !backend.is_lease(),
        }
    }

    async fn happen(self, server: &Server, site: &Site) -> Crowd {
        match self {
            Fault::Restarted => tokio::task::block_in_place(|| server.restart()),
            Fault::Crashed => tokio::task::block_in_place(|| {
                server.kill();
                server.start_after_crash();
            }),
            // For longer than a validity.
            Fault::Frozen => {
                tokio::task::block_in_place(|| server.freeze());
                sleep(TTL * 3 / 2).await;
                tokio::task::block_in_place(|| server.thaw());
            }
            Fault::Storm => {
                let mut witness = Witness::at(server.url()).await;
                let begun = Instant::now();
                while begun.elapsed() < STORM {
                    witness.terminate_all(site).await;
                    sleep(Duration::from_millis(20)).await;
                }
            }
            Fault::Full => {
                let crowd = Crowd::gather(server.url()).await;
                // Who comes now is told why, and that it may come again.
                let late = Locker::builder(&site.url).connect_timeout(TTL).connect().await;
                let error = late.expect_err("there is room");
                let remedy = error.to_string().contains("max_connections");
                assert!(error.is_retryable() && remedy, "{error}");
                sleep(TTL * 3 / 2).await;
                return crowd;
            }
        }
        Crowd::default()
    }
}

impl Crowd {
    /// As many as there is room for.
    async fn gather(url: &str) -> Self {
        let mut crowd = Crowd::default();
        if url.starts_with("postgres") {
            while let Ok(connection) = PgConnection::connect(url).await {
                crowd.postgres.push(connection);
            }
        } else {
            while let Ok(connection) = MySqlConnection::connect(url).await {
                crowd.mysql.push(connection);
            }
        }
        assert!(crowd.postgres.len() + crowd.mysql.len() > CONNECTIONS / 4);
        crowd
    }
}

pub(crate) async fn of_servers_that_end_are_told_before_the_next_one_comes(site: Site) {
    on_a_server_of_its_own(site, &[Fault::Restarted, Fault::Crashed]).await;
}

pub(crate) async fn of_servers_that_stay_are_told_before_the_next_one_comes(site: Site) {
    on_a_server_of_its_own(site, &[Fault::Frozen, Fault::Storm, Fault::Full]).await;
}

async fn on_a_server_of_its_own(site: Site, faults: &[Fault]) {
    let backend = site.backend.unwrap();
    let room = format!("max_connections={CONNECTIONS}");
    let Some(server) = Server::start(backend.of_its_server(), &[&room]) else { return };
    let site = Site::at(&backend.url_on(server.url())).ttl(TTL);
    for fault in faults {
        let mut figures = Figures::new(fault.name());
        for _ in 0..rounds() {
            let outcome = through(&site, &server, *fault, backend).await;
            let overlap_max = fault.overlap_max(backend);
            assert!(outcome.overlap <= overlap_max, "{fault:?}: two for {:?}", outcome.overlap);
            figures.add(outcome);
        }
        figures.report(backend);
    }
}

/// A holder through a fault of the server.
async fn through(site: &Site, server: &Server, fault: Fault, backend: Backend) -> Outcome {
    let others = site.named("others").locker().await;
    let holder = Holder::new(&site.named("holder"), Launch::default(), &others, "k").await;
    sleep(BEFORE).await;
    let began = clock::now();
    let crowd = fault.happen(server, site).await;
    let outcome = if fault.is_loss(backend) {
        holder.outcome(began, Some(began)).await
    } else {
        holder.outcome_if_kept(began, MEANWHILE / 2).await
    };
    drop(crowd);
    others.close().await;
    outcome
}

/// The standby becomes the primary: of what was granted it knows, for it is a synchronous one.
pub(crate) async fn of_a_primary_are_told_before_the_next_one_comes(site: Site) {
    let backend = site.backend.unwrap();
    let mut figures = Figures::new("the standby takes over");
    for _ in 0..rounds() {
        let Some(primary) = Server::start(Backend::Postgres, &["synchronous_standby_names=*"])
        else {
            return;
        };
        let Some(standby) = primary.beside("standby", &["synchronous_standby_names="]) else {
            return;
        };
        let (first, second) = (host(&primary), host(&standby));
        let site = Site::at(&format!("lease+postgres://dlock@{first},{second}/dlock")).ttl(TTL);
        let others = site.named("others").locker().await;
        let holder = Holder::new(&site.named("holder"), Launch::default(), &others, "k").await;
        sleep(BEFORE).await;
        let began = clock::now();
        tokio::task::block_in_place(|| {
            primary.kill();
            standby.promote();
        });
        let outcome = holder.outcome_if_kept(began, MEANWHILE / 2).await;
        assert!(outcome.overlap.is_zero(), "two for {:?}", outcome.overlap);
        figures.add(outcome);
        others.close().await;
    }
    figures.report(backend);
}

/// Its host and port.
fn host(server: &Server) -> String {
    let (_, rest) = server.url().split_once('@').unwrap();
    rest.split_once('/').unwrap().0.to_owned()
}
