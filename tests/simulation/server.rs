//! A model of a database server: sessions that answer in order but each at its own pace, and locks
//! with a queue each. As on real servers, a session that has a lock is granted it again, in any
//! mode and past those who are in line: whoever routes a question wrongly finds two holders.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;

use super::claim::{Claim, KEYS, Key};

pub(crate) type SessionId = u32;

/// What a session can be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Try(Claim),
    Wait(Claim),
    Unlock(Claim),
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
    waits: Option<Claim>,
    alive: bool,
    /// The process has closed it, and the server has not seen that yet.
    left: bool,
}

#[derive(Default)]
struct Lock {
    /// Who has it, once for each time that it was granted; `true`: shared.
    owners: Vec<(SessionId, bool)>,
    queue: VecDeque<(SessionId, bool)>,
}

impl Lock {
    fn has(&self, id: SessionId) -> bool {
        self.owners.iter().any(|(owner, _)| *owner == id)
    }

    /// Whether it goes with what others have.
    fn admits(&self, id: SessionId, shared: bool) -> bool {
        self.owners.iter().all(|(owner, other)| *owner == id || shared && *other)
    }
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Server {
    sessions: BTreeMap<SessionId, Session>,
    locks: [Lock; KEYS],
    last: SessionId,
    /// How often a session that had a lock was granted it once more past a writer in line.
    pub(crate) passed: u64,
}

impl Server {
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

    /// Whether the session has the lock.
    pub(crate) fn has(&self, id: SessionId, claim: Claim) -> bool {
        self.locks[usize::from(claim.key)].owners.contains(&(id, claim.shared))
    }

    pub(crate) fn lives(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.alive)
    }

    pub(crate) fn holds_nothing(&self) -> bool {
        self.locks.iter().all(|lock| lock.owners.is_empty() && lock.queue.is_empty())
    }

    /// Some session's next statement is carried out; says which.
    pub(crate) fn work(&mut self, rng: &mut Rng) -> Option<(SessionId, Ask)> {
        let id = self.pick(rng, |s| s.alive && s.waits.is_none() && !s.asked.is_empty())?;
        let ask = self.sessions.get_mut(&id)?.asked.pop_front()?;
        match ask {
            Ask::Try(_) if rng.u8(..) == 0 => self.say(id, Answer::Error),
            Ask::Try(claim) => {
                let lock = &mut self.locks[usize::from(claim.key)];
                let again = lock.has(id);
                let free = lock.admits(id, claim.shared) && (again || lock.queue.is_empty());
                if free {
                    self.passed += u64::from(lock.queue.iter().any(|(_, shared)| !shared));
                    lock.owners.push((id, claim.shared));
                }
                self.say(id, Answer::Done(free));
            }
            Ask::Wait(claim) => {
                let holds = self.locks.iter().any(|lock| lock.has(id));
                assert!(!holds, "session {id} waits, and it holds something");
                self.locks[usize::from(claim.key)].queue.push_back((id, claim.shared));
                self.sessions.get_mut(&id)?.waits = Some(claim);
                self.serve(claim.key);
            }
            Ask::Unlock(claim) => {
                let held = self.free(id, claim);
                self.say(id, Answer::Done(held));
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
        let claim = self.sessions.get_mut(&id).and_then(|session| session.waits.take());
        if let Some(Claim { key, .. }) = claim {
            self.locks[usize::from(key)].queue.retain(|(other, _)| *other != id);
            self.say(id, Answer::Waited(false));
            // It may have stood between those who share the lock and others who would.
            self.serve(key);
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
        for claim in Claim::all() {
            while self.free(id, claim) {}
        }
    }

    fn free(&mut self, id: SessionId, claim: Claim) -> bool {
        let owners = &mut self.locks[usize::from(claim.key)].owners;
        let held = owners.iter().position(|owner| *owner == (id, claim.shared));
        let Some(held) = held else { return false };
        owners.remove(held);
        self.serve(claim.key);
        true
    }

    fn serve(&mut self, key: Key) {
        let lock = &mut self.locks[usize::from(key)];
        while let Some(&(id, shared)) = lock.queue.front()
            && lock.admits(id, shared)
        {
            lock.queue.pop_front();
            lock.owners.push((id, shared));
            if let Some(session) = self.sessions.get_mut(&id) {
                session.waits = None;
                // To one that has left, nothing can be said.
                session.answers.extend((!session.left).then_some(Answer::Waited(true)));
            }
        }
    }
}
