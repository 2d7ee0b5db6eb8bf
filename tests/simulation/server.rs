//! A model of a database server: sessions that answer in order but each at its own pace, and locks
//! with a queue each. As on real servers, a session that has a lock is granted it again.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;

pub(crate) type Key = u8;
pub(crate) type SessionId = u32;
/// As many keys as a world can have.
pub(crate) const KEYS: usize = 3;

/// What a session can be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Try(Key),
    Wait(Key),
    Unlock(Key),
    /// End the wait of another session.
    Cancel(SessionId),
}

/// What it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Done(bool),
    /// The statement failed, and the session lives.
    Error,
    /// The end of a wait, and whether the lock was granted.
    Waited(bool),
    /// The connection is gone.
    Died,
}

#[derive(Default)]
struct Session {
    asked: VecDeque<Ask>,
    answers: VecDeque<Answer>,
    waits: Option<Key>,
    alive: bool,
    /// The process has closed it, and the server has not seen that yet.
    left: bool,
}

#[derive(Default)]
struct Lock {
    owner: Option<SessionId>,
    queue: VecDeque<SessionId>,
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Server {
    sessions: BTreeMap<SessionId, Session>,
    locks: [Lock; KEYS],
    last: SessionId,
    /// A try gets a free lock even when others are queued for it.
    jumps: bool,
}

impl Server {
    pub(crate) fn new(jumps: bool) -> Self {
        Server { jumps, ..Server::default() }
    }

    pub(crate) fn open(&mut self) -> SessionId {
        self.last += 1;
        self.sessions.insert(self.last, Session { alive: true, ..Session::default() });
        self.last
    }

    pub(crate) fn ask(&mut self, id: SessionId, ask: Ask) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.asked.push_back(ask);
        }
    }

    /// Takes the session's next answer from the wire.
    pub(crate) fn answer(&mut self, id: SessionId) -> Option<Answer> {
        let answer = self.sessions.get_mut(&id)?.answers.pop_front()?;
        if matches!(answer, Answer::Died) {
            self.sessions.remove(&id);
        }
        Some(answer)
    }

    pub(crate) fn has_answer(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| !session.answers.is_empty())
    }

    /// The process has closed its end.
    pub(crate) fn leave(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.left = true;
            session.answers.clear();
            if !session.alive {
                self.sessions.remove(&id);
            }
        }
    }

    pub(crate) fn owner(&self, key: Key) -> Option<SessionId> {
        self.locks[usize::from(key)].owner
    }

    pub(crate) fn lives(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.alive)
    }

    pub(crate) fn holds_nothing(&self) -> bool {
        self.locks.iter().all(|lock| lock.owner.is_none() && lock.queue.is_empty())
    }

    /// Some session's next statement is carried out; says which.
    pub(crate) fn work(&mut self, rng: &mut Rng) -> Option<(SessionId, Ask)> {
        let id = self.pick(rng, |s| s.alive && s.waits.is_none() && !s.asked.is_empty())?;
        let ask = self.sessions.get_mut(&id)?.asked.pop_front()?;
        match ask {
            Ask::Try(_) if rng.u8(..) == 0 => self.say(id, Answer::Error),
            Ask::Try(key) => {
                let lock = &mut self.locks[usize::from(key)];
                // Re-entrant, as they all are: this is what the table must never make use of.
                assert_ne!(lock.owner, Some(id), "session {id} tries for key {key} that it has");
                let free = lock.owner.is_none() && (self.jumps || lock.queue.is_empty());
                if free {
                    lock.owner = Some(id);
                }
                self.say(id, Answer::Done(free));
            }
            Ask::Wait(key) => {
                let holds = self.locks.iter().any(|lock| lock.owner == Some(id));
                assert!(!holds, "session {id} waits, and it holds something");
                self.locks[usize::from(key)].queue.push_back(id);
                self.sessions.get_mut(&id)?.waits = Some(key);
                self.serve(key);
            }
            Ask::Unlock(key) => {
                let held = self.locks[usize::from(key)].owner == Some(id);
                self.say(id, Answer::Done(held));
                if held {
                    self.free(key);
                }
            }
            Ask::Cancel(other) => {
                // Too early or too late, it does nothing.
                self.stop(other);
                self.say(id, Answer::Done(true));
            }
        }
        Some((id, ask))
    }

    /// Some wait has lasted as long as a statement may.
    pub(crate) fn slice(&mut self, rng: &mut Rng) -> Option<SessionId> {
        let id = self.pick(rng, |session| session.waits.is_some())?;
        self.stop(id);
        Some(id)
    }

    /// Some session ends: what it held is free, and part of its last words arrives.
    pub(crate) fn kill(&mut self, rng: &mut Rng) -> Option<SessionId> {
        let id = self.pick(rng, |session| session.alive)?;
        self.end(id, rng);
        Some(id)
    }

    /// The server sees that some process has closed its end.
    pub(crate) fn notice(&mut self, rng: &mut Rng) -> Option<SessionId> {
        let id = self.pick(rng, |session| session.left)?;
        self.end(id, rng);
        self.sessions.remove(&id);
        Some(id)
    }

    fn pick(&self, rng: &mut Rng, which: impl Fn(&Session) -> bool) -> Option<SessionId> {
        let count = self.sessions.values().filter(|session| which(session)).count();
        let chosen = (count > 0).then(|| rng.usize(..count))?;
        self.sessions.iter().filter(|(_, s)| which(s)).nth(chosen).map(|(id, _)| *id)
    }

    fn say(&mut self, id: SessionId, answer: Answer) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.left) {
            session.answers.push_back(answer);
        }
    }

    fn stop(&mut self, id: SessionId) {
        let key = self.sessions.get_mut(&id).and_then(|session| session.waits.take());
        if let Some(key) = key {
            self.locks[usize::from(key)].queue.retain(|other| *other != id);
            self.say(id, Answer::Waited(false));
        }
    }

    fn end(&mut self, id: SessionId, rng: &mut Rng) {
        self.stop(id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.alive = false;
            session.asked.clear();
            session.answers.truncate(rng.usize(..=session.answers.len()));
        }
        self.say(id, Answer::Died);
        for key in 0..KEYS {
            if self.locks[key].owner == Some(id) {
                self.free(key as Key);
            }
        }
    }

    fn free(&mut self, key: Key) {
        self.locks[usize::from(key)].owner = None;
        self.serve(key);
    }

    fn serve(&mut self, key: Key) {
        let lock = &mut self.locks[usize::from(key)];
        if lock.owner.is_none()
            && let Some(first) = lock.queue.pop_front()
        {
            lock.owner = Some(first);
            if let Some(session) = self.sessions.get_mut(&first) {
                session.waits = None;
            }
            self.say(first, Answer::Waited(true));
        }
    }
}
