//! The server is restarted under those who hold and wait.

use std::time::Duration;

use dlock::{Guard, Locker};
use dlock_tests::{Server, Site, Witness, in_time};
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(20);

pub(crate) async fn while_waiting_never_grants_falsely(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    through(&server, |server| server.restart()).await;
}

pub(crate) async fn after_a_crash_never_grants_falsely(site: Site) {
    let Some(server) = Server::like(&site, &[]) else { return };
    through(&server, |server| {
        server.kill();
        // Long enough for the first attempts to find nobody there.
        std::thread::sleep(Duration::from_millis(300));
        server.start_after_crash();
    })
    .await;
}

/// Waits for as long as it takes, through errors that say that the server is away.
async fn acquire(locker: &Locker) -> Guard {
    loop {
        match locker.lock("k").timeout(LIMIT).acquire().await {
            Ok(guard) => return guard,
            Err(error) if error.is_retryable() => sleep(Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn through(server: &Server, restart: impl FnOnce(&Server)) {
    let site = Site::at(server.url());
    let (theirs, ours) = (site.named("theirs").locker().await, site.locker().await);
    let held = theirs.lock("k").acquire().await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let locker = ours.clone();
        waiting.spawn(async move {
            let guard = acquire(&locker).await;
            guard.verify().await.unwrap();
            // Long enough for another one to be granted meanwhile, if that could be.
            sleep(Duration::from_millis(50)).await;
            assert!(!guard.is_lost());
            guard.release().await.unwrap();
        });
    }
    sleep(Duration::from_millis(300)).await;
    assert!(waiting.try_join_next().is_none());
    restart(server);
    in_time("news of the loss", Duration::from_secs(5), held.lost()).await;
    assert!(held.release().await.unwrap_err().is_lost());
    in_time("all had their turn", LIMIT, waiting.join_all()).await;
    // The next grant is a real one: the server shows it, and it excludes the others.
    let guard = in_time("the lock", LIMIT, acquire(&ours)).await;
    let mut witness = Witness::at(server.url()).await;
    assert_eq!(witness.locks(&site).await, 1);
    let refused = theirs.lock("k").try_acquire().await.unwrap();
    assert!(refused.is_none());
    guard.release().await.unwrap();
    assert_eq!(witness.locks(&site).await, 0);
}
