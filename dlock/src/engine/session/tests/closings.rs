//! Waits that end with their connection, where no order ends them.

use super::*;
use crate::Locker;

/// Until somebody waits for this key in the server.
async fn waits(fake: &Scripted, key: &str) {
    let seen = async {
        let is_wait = |call: &Call| matches!(call, Call::Wait(waited) if waited == key);
        while !fake.calls().iter().any(is_wait) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time("a wait", seen).await;
}

fn wait_for(ours: &Locker, key: &'static str) -> tokio::task::JoinHandle<()> {
    let lock = ours.lock(key);
    tokio::spawn(async move { drop(lock.acquire().await) })
}

/// The caller has gone: so has the wait, without an order to the server, and what was held stays.
#[tokio::test]
async fn wait_that_is_not_wanted_ends_with_its_connection() {
    let (theirs, fake) = (Scripted::new("memory:closings"), Scripted::closing("memory:closings"));
    let (theirs, ours) = (theirs.locker(8).await.unwrap(), fake.locker(8).await.unwrap());
    let (held, kept) = (theirs.lock("k").acquire().await.unwrap(), ours.lock("kept"));
    let kept = kept.acquire().await.unwrap();
    let waiting = wait_for(&ours, "k");
    waits(&fake, "k").await;
    waiting.abort();
    // Whoever is next does not find it in line.
    held.release().await.unwrap();
    let next = in_time("the lock", theirs.lock("k").acquire()).await.unwrap();
    assert!(!fake.calls().contains(&Call::Orders), "nothing ends a wait here but its connection");
    next.release().await.unwrap();
    kept.release().await.unwrap();
    in_time("the lock", ours.lock("k").acquire()).await.unwrap().release().await.unwrap();
}

/// More keys than sessions: the places change hands all the same.
#[tokio::test]
async fn keys_take_turns_by_new_connections() {
    let theirs = Scripted::new("memory:closings-turns");
    let fake = Scripted::closing("memory:closings-turns");
    let (theirs, ours) = (theirs.locker(8).await.unwrap(), fake.locker(3).await.unwrap());
    let keys = ["a", "b", "c", "d", "e"];
    let mut held = Vec::new();
    for key in keys {
        held.push(theirs.lock(key).acquire().await.unwrap());
    }
    let waiting: Vec<_> = keys.map(|key| wait_for(&ours, key)).into();
    for key in keys {
        waits(&fake, key).await;
    }
    drop(held);
    for wait in waiting {
        in_time("the lock", wait).await.unwrap();
    }
    in_time("the end", ours.close()).await;
}
