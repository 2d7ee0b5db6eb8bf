//! `memory:`: locks inside this process, for tests and for programs that have no database yet.

use std::collections::hash_map::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use once_cell::sync::Lazy;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{
    Answer, BatchItem, LockView, Op, SessionLocks, SessionTag, SessionView, SessionViews,
    SessionWaits, Waited,
};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::Finding;

/// One space of keys.
#[derive(Default)]
struct Space {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owners: HashMap<NativeKey, Vec<(i64, Mode)>>,
    /// Who waits for a key, first come first served.
    queues: HashMap<NativeKey, Vec<Waiter>>,
    /// How each session learns that another one has ended it.
    ends: HashMap<i64, Arc<Notify>>,
    /// The newest fencing token of each key that ever had one.
    fences: HashMap<NativeKey, u64>,
}

struct Waiter {
    id: i64,
    woken: Arc<Notify>,
}

/// The spaces of this process, by URL.
static SPACES: Lazy<Mutex<HashMap<String, Arc<Space>>>> = Lazy::new(Mutex::default);
static LAST: AtomicI64 = AtomicI64::new(0);

pub(crate) struct Memory(Arc<Space>);

impl Memory {
    pub(crate) fn new(url: &str) -> Self {
        let mut spaces = SPACES.lock().unwrap_or_else(PoisonError::into_inner);
        Memory(Arc::clone(spaces.entry(url.to_owned()).or_default()))
    }
}

/// Gives back what it holds when it is dropped, as a server does with a connection.
pub(crate) struct Session {
    id: i64,
    space: Arc<Space>,
    /// Another session has ended it.
    ended: Arc<Notify>,
}

/// Why a session is no more.
#[derive(Debug, thiserror::Error)]
#[error("another session has ended this one")]
struct Ended;

impl Space {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, lock_id: &LockId, id: i64) -> bool {
        let LockId { key, mode } = lock_id;
        // A try never jumps the queue.
        let first = self.queues.get(key).and_then(|queue| queue.first());
        if first.is_some_and(|first| first.id != id) {
            return false;
        }
        let owners = self.owners.entry(key.clone()).or_default();
        let free = owners.iter().all(|(_, held)| held.is_compatible_with(*mode));
        if free {
            owners.push((id, *mode));
        }
        free
    }

    fn draw(&mut self, lock_id: &LockId) -> Answer {
        let fence = self.fences.entry(lock_id.key.clone()).or_default();
        *fence += 1;
        Answer::Fence(*fence)
    }

    fn holds(&self, lock_id: &LockId, id: i64) -> bool {
        self.owners.get(&lock_id.key).is_some_and(|owners| owners.contains(&(id, lock_id.mode)))
    }

    fn give(&mut self, lock_id: &LockId, id: i64) -> bool {
        let held = self.holds(lock_id, id);
        if held && let Some(owners) = self.owners.get_mut(&lock_id.key) {
            // Counted, as on servers.
            if let Some(index) = owners.iter().position(|owner| *owner == (id, lock_id.mode)) {
                owners.swap_remove(index);
            }
            if owners.is_empty() {
                self.owners.remove(&lock_id.key);
            }
            self.wake(&lock_id.key);
        }
        held
    }

    fn wake(&self, key: &NativeKey) {
        if let Some(first) = self.queues.get(key).and_then(|queue| queue.first()) {
            first.woken.notify_one();
        }
    }

    fn waits(&self, key: &NativeKey, id: i64) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.iter().any(|waiter| waiter.id == id))
    }

    fn leave(&mut self, key: &NativeKey, id: i64) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.retain(|waiter| waiter.id != id);
            if queue.is_empty() {
                self.queues.remove(key);
            }
        }
        self.wake(key);
    }

    /// Stops whatever wait this session is in.
    fn cancel(&mut self, id: i64) {
        let key = self.queues.keys().find(|key| self.waits(key, id)).cloned();
        let Some(key) = key else { return };
        let queue = self.queues.get(&key).into_iter().flatten();
        queue.filter(|waiter| waiter.id == id).for_each(|waiter| waiter.woken.notify_one());
        self.leave(&key, id);
    }

    fn end(&mut self, id: i64) {
        self.cancel(id);
        let held = self.owners.iter().flat_map(|(key, owners)| {
            let own = owners.iter().filter(|(owner, _)| *owner == id);
            own.map(|(_, mode)| LockId { key: key.clone(), mode: *mode })
        });
        let held: Vec<LockId> = held.collect();
        for lock_id in held {
            self.give(&lock_id, id);
        }
    }

    fn seen(&self, key: &NativeKey) -> Option<LockView> {
        let owners = self.owners.get(key)?;
        let queue = self.queues.get(key).into_iter().flatten();
        let (_, mode) = owners.first()?;
        Some(LockView {
            lock_id: LockId { key: key.clone(), mode: *mode },
            holders: owners.iter().map(|(id, _)| party(*id)).collect(),
            waiters: queue.map(|waiter| party(waiter.id)).collect(),
        })
    }
}

fn party(id: i64) -> SessionView {
    let who = format!("session {id} of process {}", std::process::id());
    SessionView::new(Some(id), who, None)
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut state = self.space.state();
        state.ends.remove(&self.id);
        state.end(self.id);
    }
}

impl SessionLocks for Memory {
    type Session = Session;

    fn label(&self) -> &str {
        "memory"
    }

    fn session_ttl(&self) -> Option<Duration> {
        None
    }

    fn modes(&self) -> &'static [Mode] {
        &Mode::ALL
    }

    async fn open(&self) -> Result<Session> {
        let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let ended = Arc::new(Notify::new());
        self.0.state().ends.insert(id, Arc::clone(&ended));
        Ok(Session { id, space: Arc::clone(&self.0), ended })
    }

    fn tag(&self, session: &Session) -> SessionTag {
        // No two sessions of a process have one number.
        SessionTag { id: session.id, birth: 0 }
    }

    async fn batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let mut state = session.space.state();
        out.extend(ops.iter().map(|op| match &op.what {
            Op::Try(lock_id) => state.take(lock_id, session.id).into(),
            Op::TryFenced(lock_id) if state.take(lock_id, session.id) => state.draw(lock_id),
            Op::Fence(lock_id) if state.holds(lock_id, session.id) => state.draw(lock_id),
            Op::TryFenced(_) | Op::Fence(_) => Answer::No,
            Op::Unlock(lock_id) => state.give(lock_id, session.id).into(),
            Op::Cancel(tag) => {
                state.cancel(tag.id);
                Answer::Yes
            }
            Op::End(tag) => {
                state.end(tag.id);
                if let Some(ended) = state.ends.get(&tag.id) {
                    ended.notify_one();
                }
                Answer::Yes
            }
        }));
        Ok(())
    }

    fn survives(&self, _: &Error) -> bool {
        true
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        let state = session.space.state();
        Ok(lock_ids.iter().map(|lock_id| state.holds(lock_id, session.id)).collect())
    }

    async fn watch(&self, session: &mut Session) -> Error {
        session.ended.notified().await;
        Error::unavailable(self.label(), Ended)
    }

    async fn close(&self, session: Session) {
        drop(session);
    }
}

impl SessionWaits for Memory {
    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        let (id, key) = (session.id, &lock_id.key);
        let woken = Arc::new(Notify::new());
        {
            let mut state = session.space.state();
            let waiter = Waiter { id, woken: Arc::clone(&woken) };
            state.queues.entry(key.clone()).or_default().push(waiter);
        }
        let granted = timeout(time, async {
            loop {
                {
                    let mut state = session.space.state();
                    if state.take(lock_id, id) {
                        return true;
                    }
                    if !state.waits(key, id) {
                        // Cancelled.
                        return false;
                    }
                }
                woken.notified().await;
            }
        })
        .await;
        session.space.state().leave(key, id);
        Ok(granted.unwrap_or(false).into())
    }
}

impl SessionViews for Memory {
    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        let state = session.space.state();
        Ok(match of {
            Some(key) => state.seen(key).into_iter().collect(),
            None => state.owners.keys().filter_map(|key| state.seen(key)).collect(),
        })
    }

    async fn check(&self, _: &mut Session) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }
}
