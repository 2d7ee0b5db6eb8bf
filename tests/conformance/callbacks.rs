//! What `on_lost` calls is the user's code: it may block and panic, and harms nobody.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dlock::{Guard, LeaseOptions, Locker};
use dlock_tests::{Site, eventually, in_time};

const LIMIT: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_millis(300);

/// Five guards whose callbacks do not end before the sender is dropped.
async fn five_with_slow_callbacks(locker: &Locker) -> (Vec<Guard>, Sender<()>) {
    let (go_on, blocked) = channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let mut guards = Vec::new();
    for n in 0..5_u32 {
        let blocked = Arc::clone(&blocked);
        let lock = locker.lock(n).on_lost(move |_| _ = blocked.lock().unwrap().recv());
        guards.push(lock.acquire().await.unwrap());
    }
    (guards, go_on)
}

pub(crate) async fn slow_ones_do_not_delay_the_news(site: Site) {
    let ours = site.locker().await;
    let (guards, go_on) = five_with_slow_callbacks(&ours).await;
    let closing = tokio::spawn(ours.close());
    eventually("all guards know", LIMIT, || guards.iter().all(Guard::is_lost)).await;
    for guard in &guards {
        in_time("the loss", LIMIT, guard.lost()).await;
    }
    in_time("the end of closing", LIMIT, closing).await.unwrap();
    drop(go_on);
}

/// The callback waits for a lock of the same locker, which the engine that lost the first one gives.
pub(crate) async fn may_take_locks_of_the_same_locker(site: Site) {
    let ours = site.builder().lease_options(LeaseOptions::new().ttl(TTL)).connect().await.unwrap();
    let (said, hear) = channel();
    let again = ours.lock("other");
    let lock = ours.lock("k").on_lost(move |_| said.send(again.acquire_blocking()).unwrap());
    // Only a lease can be lost without a hand on the server: others are in `session/lost.rs`.
    let guard = lock.ttl(TTL).auto_renew(false).acquire().await.unwrap();
    in_time("its end", LIMIT, guard.lost()).await;
    let heard = tokio::task::spawn_blocking(move || hear.recv_timeout(LIMIT)).await.unwrap();
    heard.expect("the callback ends").unwrap().release().await.unwrap();
    ours.lock("third").acquire().await.unwrap().release().await.unwrap();
}

/// What a callback has captured; says on which thread it goes.
struct Captured {
    said: Sender<Option<String>>,
    _runtime: Option<tokio::runtime::Runtime>,
    panics: bool,
}

impl Drop for Captured {
    fn drop(&mut self) {
        let _ = self.said.send(thread::current().name().map(str::to_owned));
        assert!(!self.panics, "of what a callback has captured");
    }
}

fn captured(said: &Sender<Option<String>>, panics: bool) -> Captured {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // To drop a runtime inside a runtime panics by itself.
    Captured { said: said.clone(), _runtime: Some(runtime), panics }
}

async fn dropped(hear: Receiver<Option<String>>) -> Receiver<Option<String>> {
    tokio::task::spawn_blocking(move || {
        let thread = hear.recv_timeout(LIMIT).expect("what was captured goes");
        assert_eq!(thread.as_deref(), Some("dlock-on-lost"));
        hear
    })
    .await
    .unwrap()
}

/// Neither the engine nor who drops a guard or a lock drops what the callback has captured.
pub(crate) async fn what_they_have_captured_goes_on_a_thread_of_its_own(site: Site) {
    let ours = site.locker().await;
    let (said, mut hear) = channel();
    for panics in [false, true] {
        // Released, dropped, and with its last owner in the engine.
        let it = captured(&said, panics);
        let guard = ours.lock("k").on_lost(move |_| _ = &it).acquire().await.unwrap();
        guard.release().await.unwrap();
        hear = dropped(hear).await;
        let it = captured(&said, panics);
        drop(ours.lock("k").on_lost(move |_| _ = &it).acquire().await.unwrap());
        hear = dropped(hear).await;
        // The lock is the last that has it.
        let it = captured(&said, panics);
        let lock = ours.lock("k").on_lost(move |_| _ = &it);
        lock.acquire().await.unwrap().release().await.unwrap();
        drop(lock);
        hear = dropped(hear).await;
        // The engine has taken no harm.
        ours.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
    // Lost.
    let it = captured(&said, true);
    let guard = ours.lock("k").on_lost(move |_| _ = &it).acquire().await.unwrap();
    ours.close().await;
    assert!(guard.is_lost());
    drop(guard);
    dropped(hear).await;
}
