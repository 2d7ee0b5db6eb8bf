//! `memory:`: locks inside this process, for tests and for programs that have no database yet.

use std::collections::hash_map::{Entry, HashMap};
use std::future::pending;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::Lazy;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Do, Op, SessionBackend, Tag};
use crate::error::{Error, Result};
use crate::native::NativeKey;

/// One space of keys.
#[derive(Default)]
struct Space {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owners: HashMap<NativeKey, Tag>,
    /// Who waits for a key, first come first served.
    queues: HashMap<NativeKey, Vec<(Tag, Arc<Notify>)>>,
}

/// The spaces of this process, by URL.
static SPACES: Lazy<Mutex<HashMap<String, Arc<Space>>>> = Lazy::new(Mutex::default);
static LAST: AtomicI64 = AtomicI64::new(0);

pub(super) struct Memory(Arc<Space>);

impl Memory {
    pub(super) fn new(url: &str) -> Self {
        let mut spaces = SPACES.lock().unwrap_or_else(PoisonError::into_inner);
        Memory(Arc::clone(spaces.entry(url.to_owned()).or_default()))
    }
}

/// Gives back what it holds when it is dropped, as a server does with a connection.
pub(super) struct Session {
    tag: Tag,
    space: Arc<Space>,
}

impl Space {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, key: &NativeKey, tag: Tag) -> bool {
        // A try never jumps the queue.
        if self.queues.get(key).is_some_and(|queue| queue.first().is_some_and(|(t, _)| *t != tag)) {
            return false;
        }
        match self.owners.entry(key.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(tag);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    fn give(&mut self, key: &NativeKey, tag: Tag) -> bool {
        let held = self.owners.get(key) == Some(&tag);
        if held {
            self.owners.remove(key);
            self.wake(key);
        }
        held
    }

    fn wake(&self, key: &NativeKey) {
        if let Some((_, first)) = self.queues.get(key).and_then(|queue| queue.first()) {
            first.notify_one();
        }
    }

    fn leave(&mut self, key: &NativeKey, tag: Tag) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.retain(|(waiting, _)| *waiting != tag);
            if queue.is_empty() {
                self.queues.remove(key);
            }
        }
        if !self.owners.contains_key(key) {
            self.wake(key);
        }
    }

    /// Stops whatever wait this session is in.
    fn cancel(&mut self, tag: Tag) -> bool {
        let waits = |queue: &Vec<(Tag, Arc<Notify>)>| queue.iter().any(|(t, _)| *t == tag);
        let key = self.queues.iter().find(|(_, queue)| waits(queue)).map(|(key, _)| key.clone());
        let Some(key) = key else { return false };
        for (_, woken) in self.queues.get(&key).into_iter().flatten().filter(|(t, _)| *t == tag) {
            woken.notify_one();
        }
        self.leave(&key, tag);
        true
    }

    fn end(&mut self, tag: Tag) {
        self.cancel(tag);
        let held: Vec<_> =
            self.owners.iter().filter(|(_, t)| **t == tag).map(|(key, _)| key.clone()).collect();
        for key in held {
            self.give(&key, tag);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.space.state().end(self.tag);
    }
}

impl SessionBackend for Memory {
    type Session = Session;

    fn label(&self) -> &str {
        "memory"
    }

    fn session_ttl(&self) -> Option<Duration> {
        None
    }

    async fn open(&self) -> Result<Session> {
        let tag = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Session { tag, space: Arc::clone(&self.0) })
    }

    fn tag(&self, session: &Session) -> Tag {
        session.tag
    }

    async fn batch(&self, session: &mut Session, ops: &[Op], out: &mut Vec<bool>) -> Result<()> {
        let mut state = session.space.state();
        out.extend(ops.iter().map(|op| match &op.what {
            Do::Try(key) => state.take(key, session.tag),
            Do::Unlock(key) => state.give(key, session.tag),
            Do::Cancel(tag) => state.cancel(*tag),
            Do::End(tag) => {
                state.end(*tag);
                true
            }
        }));
        Ok(())
    }

    async fn wait(&self, session: &mut Session, key: &NativeKey, time: Duration) -> Result<bool> {
        let tag = session.tag;
        let woken = Arc::new(Notify::new());
        {
            let mut state = session.space.state();
            state.queues.entry(key.clone()).or_default().push((tag, Arc::clone(&woken)));
        }
        let granted = timeout(time, async {
            loop {
                {
                    let mut state = session.space.state();
                    if state.take(key, tag) {
                        return true;
                    }
                    let queue = state.queues.get(key);
                    if !queue.is_some_and(|queue| queue.iter().any(|(t, _)| *t == tag)) {
                        // Cancelled.
                        return false;
                    }
                }
                woken.notified().await;
            }
        })
        .await;
        session.space.state().leave(key, tag);
        Ok(granted.unwrap_or(false))
    }

    fn survives(&self, _: &Error) -> bool {
        true
    }

    async fn held(&self, session: &mut Session, keys: &[NativeKey]) -> Result<Vec<bool>> {
        let state = session.space.state();
        Ok(keys.iter().map(|key| state.owners.get(key) == Some(&session.tag)).collect())
    }

    async fn watch(&self, _: &mut Session) -> Error {
        pending().await
    }

    async fn close(&self, session: Session) {
        drop(session);
    }
}
