//! Somebody sets the wall clock, which is the clock of the leases: all processes of a machine have
//! the same one.

use std::time::Duration;

use dlock_tests::{Site, Wall, not_run, taker};
use tokio::time::sleep;

const HOUR: i64 = 3600;

fn wall() -> Option<Wall> {
    let wall = Wall::new();
    if wall.is_none() {
        not_run("a wall clock that is set", "libfaketime is not installed: run tests/setup");
    }
    wall
}

/// Others may have it from that moment on.
pub(crate) async fn forward_jump_is_a_loss(site: Site) {
    let Some(wall) = wall() else { return };
    let site = site.ttl(Duration::from_secs(60));
    let mut holder = taker!(site, by Some(&wall), "hold", "k");
    holder.says("waits").await;
    assert!(holder.line().await.starts_with("held"));
    let mut next = taker!(site, by Some(&wall), "hold", "k");
    next.says("waits").await;
    wall.set(HOUR);
    holder.tell("is lost?");
    holder.says("true").await;
    assert!(next.line().await.starts_with("held"));
    next.tell("release");
    next.says("released").await;
}

/// The row lasts longer than it should, and that is all.
pub(crate) async fn backward_jump_keeps_others_out(site: Site) {
    let Some(wall) = wall() else { return };
    let site = site.ttl(3 * Duration::from_secs(1));
    let mut holder = taker!(site, by Some(&wall), "hold", "k");
    holder.says("waits").await;
    assert!(holder.line().await.starts_with("held"));
    let mut next = taker!(site, by Some(&wall), "hold", "k");
    next.says("waits").await;
    wall.set(-HOUR);
    // It is renewed several times.
    sleep(5 * Duration::from_secs(1)).await;
    assert_eq!(next.said(), None);
    holder.tell("release");
    holder.says("released").await;
    assert!(next.line().await.starts_with("held"));
}
