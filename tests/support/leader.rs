//! A process that wants to lead.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use dlock::{Guard, Locker, Role};
use dlock_tests::history::Writer;
use tokio::time::sleep;

use super::{Orders, surely_held};

/// Campaigns, and writes down when it surely leads, until told to stop. A term ends by itself soon.
pub(crate) async fn lead(locker: &Locker, key: &str, file: &Path, mut orders: Orders) {
    let history = Writer::append(file);
    let leader = locker.lock(key).fenced().leader().retry_after(Duration::from_millis(20));
    println!("begun");
    let stop = async {
        assert_eq!(orders.recv().await.as_deref(), Some("stop"));
        leader.stop();
    };
    // The hold of a term that has not ended.
    let open = Cell::new(None);
    let lost = || {
        if let Some(hold) = open.take() {
            history.lost(hold);
        }
    };
    let serve = async |term: &Guard| {
        lost();
        let Some(mut at) = surely_held(term) else { return };
        let role = leader.role();
        let leads = role == Role::Leader { fence: term.fence() } || role == Role::Stopped;
        assert!(leads || term.is_lost(), "{role}");
        let hold = history.acquired(key, at, term.fence());
        open.set(Some(hold));
        for _ in 0..fastrand::u32(5..100) {
            sleep(Duration::from_millis(2)).await;
            if let Some(now) = surely_held(term) {
                history.works(hold, now);
                at = now;
            }
        }
        open.set(None);
        history.releases(hold, at);
    };
    let terms = async {
        while leader.run(&serve).await.unwrap().is_some() {
            sleep(Duration::from_millis(5)).await;
        }
        lost();
    };
    tokio::join!(stop, terms);
    println!("done");
}
