//! What looking into the server's view of locks costs.

use std::time::Instant;

use dlock::on;
use dlock_tests::{Site, tabulate};

use super::connect;
use crate::db::run;

/// The acquire statement beside two statements that do nothing, as text too.
pub(crate) async fn of_an_acquire_is_told(site: Site) {
    const TIMES: u32 = 500;
    let mut conn = connect(&site).await;
    let (mut bare, mut acquire, mut release) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let begun = Instant::now();
        run(&mut conn, "SELECT 1").await;
        run(&mut conn, "SELECT 1").await;
        bare.push(begun.elapsed());
        let begun = Instant::now();
        let mut lock = on(&mut conn).lock(&site.namespace);
        lock.acquire().await.unwrap();
        acquire.push(begun.elapsed());
        let begun = Instant::now();
        lock.release().await.unwrap();
        release.push(begun.elapsed());
    }
    let median = |times: &mut Vec<std::time::Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let (bare, acquire, release) = (median(&mut bare), median(&mut acquire), median(&mut release));
    tabulate(&format!(
        "own connection  {}: acquire {acquire:.0} µs, release {release:.0} µs, two SELECT 1 {bare:.0} µs",
        site.backend.map(|backend| backend.to_string()).unwrap_or_default(),
    ));
    assert!(acquire < bare * 20.0, "{acquire} µs, {bare} µs");
}
