//! A disk that is full, under a server and under SQLite: what it costs a holder, as in the other faults.

use std::time::{Duration, Instant};

use dlock_tests::{Backend, Disk, Launch, Server, Site, Temp, clock, not_run};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, PgConnection};
use tokio::time::{sleep, timeout};

use crate::faults::{BEFORE, HEARTBEAT, MEANWHILE, NEWS, TTL, rounds};
use crate::figures::Figures;
use crate::holder::Holder;

/// Room for an empty server, and for some writes.
const SIZE: &str = "400m";
/// How long a server may need to see that there is room again, before it is started anew.
const AGAIN: Duration = Duration::from_secs(5);

/// Under a server that writes, and so notices. One that ends itself then is started when there is room.
pub(crate) async fn full_under_a_server_is_told_before_the_next_one_comes(site: Site) {
    let backend = site.backend.unwrap();
    let Some(server) = Server::start_on_a_disk(backend.of_its_server(), SIZE) else { return };
    let site = Site::at(&backend.url_on(server.url())).ttl(TTL);
    let mut figures = Figures::new("the server's disk is full");
    for _ in 0..rounds() {
        let others = site.named("others").locker().await;
        let holder = Holder::new(&site.named("holder"), Launch::default(), &others, "k").await;
        sleep(BEFORE).await;
        let began = clock::now();
        let disk = server.disk();
        disk.fill();
        write_until(server.url(), Instant::now() + TTL * 3 / 2).await;
        disk.free();
        if !answers(server.url()).await {
            tokio::task::block_in_place(|| {
                server.kill();
                server.start_after_crash();
            });
        }
        let outcome = holder.outcome_if_kept(began, MEANWHILE / 2).await;
        let overlap_max = match () {
            () if backend.is_lease() => Duration::ZERO,
            () if backend.is_silent() => NEWS + HEARTBEAT,
            () => NEWS,
        };
        assert!(outcome.overlap <= overlap_max, "two for {:?}", outcome.overlap);
        figures.add(outcome);
        others.close().await;
        write(server.url(), "DROP TABLE IF EXISTS ballast").await;
    }
    figures.report(backend);
}

/// Writes until then, whatever comes of it.
async fn write_until(url: &str, until: Instant) {
    write(url, "CREATE TABLE ballast (it TEXT)").await;
    while Instant::now() < until {
        write(url, "INSERT INTO ballast VALUES (repeat('rubbish', 8000))").await;
        sleep(Duration::from_millis(20)).await;
    }
}

/// Runs a statement on a connection of its own; whether that was possible.
async fn write(url: &str, sql: &str) -> bool {
    let sql = AssertSqlSafe(sql.to_owned());
    let written = async {
        if url.starts_with("postgres") {
            let mut connection = PgConnection::connect(url).await?;
            connection.execute(sql).await?;
            return connection.close().await;
        }
        let mut connection = MySqlConnection::connect(url).await?;
        connection.execute(sql).await?;
        connection.close().await
    };
    timeout(TTL, written).await.is_ok_and(|written| written.is_ok())
}

async fn answers(url: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < AGAIN {
        if write(url, "SELECT 1").await {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Under SQLite.
pub(crate) async fn full_under_a_file_is_told_before_the_next_one_comes(_: Site) {
    let folder = Temp::new();
    let Some(disk) = Disk::mount(folder.path(), "1m") else {
        return not_run("SQLite on a full disk", "this user cannot mount a small disk");
    };
    let site = Site::at(&format!("sqlite://{}", folder.file("locks.db").display())).ttl(TTL);
    let mut figures = Figures::new("the disk is full");
    for _ in 0..rounds() {
        let others = site.named("others").locker().await;
        let holder = Holder::new(&site.named("holder"), Launch::default(), &others, "k").await;
        sleep(BEFORE).await;
        let began = clock::now();
        disk.fill();
        sleep(TTL * 3 / 2).await;
        disk.free();
        let outcome = holder.outcome_if_kept(began, MEANWHILE / 2).await;
        assert!(outcome.overlap.is_zero(), "two for {:?}", outcome.overlap);
        figures.add(outcome);
        others.close().await;
    }
    figures.report(Backend::Sqlite);
}
