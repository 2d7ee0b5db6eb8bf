//! A session lock on a server that another one takes over from: nothing is promised, and it is shown what happens.

use std::time::Duration;

use dlock::Locker;
use dlock_tests::{Launch, Site, clock};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::holder::Holder;

const SECOND: Duration = Duration::from_secs(1);
/// Shorter than what any cluster takes to find that a server is away.
const SESSION_TTL: Duration = Duration::from_secs(5);

/// A process that holds a session lock at this one of the servers, and another that takes it from whichever of them grants
/// it: as soon as an address that follows the primary would lead there.
pub(crate) async fn hold(urls: &[String], primary: usize) -> Holder {
    let site = Site::at(&urls[primary]).ttl(SESSION_TTL);
    let namespace = site.namespace.clone();
    Holder::with_next(&site, Launch::default(), "k", |key| follow(urls, &namespace, key)).await
}

fn follow(urls: &[String], namespace: &str, key: &str) -> JoinHandle<u64> {
    let mut tries = JoinSet::new();
    for url in urls {
        let (url, namespace, key) = (url.clone(), namespace.to_owned(), key.to_owned());
        tries.spawn(async move {
            loop {
                // Most answer that they are no primary.
                let builder = Locker::builder(&url).namespace(&namespace).session_ttl(SESSION_TTL);
                if let Ok(locker) = builder.connect_timeout(2 * SECOND).connect().await {
                    loop {
                        match locker.lock(&key).timeout(SECOND).acquire().await {
                            Ok(_guard) => return clock::now(),
                            Err(error) if error.is_timeout() => {}
                            Err(_) => break,
                        }
                    }
                }
                sleep(SECOND / 10).await;
            }
        });
    }
    tokio::spawn(async move { tries.join_next().await.unwrap().unwrap() })
}
