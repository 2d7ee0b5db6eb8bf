//! A model of a database server with locks that belong to sessions. As on real servers, a session that has a lock is
//! granted it again, in any mode and past those who are in line; a wait that nobody hears of goes on; a session that
//! says nothing for its ttl is ended.

use std::collections::{BTreeMap, VecDeque};

use super::plan::{Micros, SECOND};
use crate::backend::{Answer, BatchItem, Op, SessionTag, Waited};
use crate::engine::session::core::SessionId;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;

/// A connection: of which process, and its number there.
pub(super) type Conn = (usize, SessionId);

/// So long the server lets a silent session keep its locks.
pub(super) const TTL: Micros = 6 * SECOND;

/// What a client sends.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Open,
    Batch(Vec<BatchItem>),
    Wait(LockId, Micros),
    Convert(LockId, Mode, Micros),
    Question,
    /// The connection has been closed.
    Fin,
}

/// What the server sends.
#[derive(Debug, Clone)]
pub(super) enum Say {
    Opened(SessionTag, i64),
    /// `full`: there is no connection left.
    Refused {
        full: bool,
    },
    Answers(Vec<Answer>),
    Waited(Waited),
    Converted(Waited),
    Told,
    /// The connection is gone.
    Died,
}

/// What the server is to be reminded of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Later {
    /// The wait of that number is over.
    WaitEnds(Conn, u64),
    /// A session may have been silent for too long.
    Idle(Conn),
}

struct Session {
    tag: SessionTag,
    /// What it waits for, and the number of that wait; `true`: in another mode than it has.
    waits: Option<(LockId, u64, bool)>,
    /// When it has last done something.
    active: Micros,
    /// Its client has gone. One that waits does not notice until its wait is over.
    left: bool,
}

#[derive(Default)]
struct Lock {
    owners: Vec<(Conn, Mode)>,
    queue: VecDeque<(Conn, Mode)>,
    fence: u64,
}

impl Lock {
    fn admits(&self, conn: Conn, mode: Mode) -> bool {
        self.owners.iter().all(|(owner, other)| *owner == conn || other.is_compatible_with(mode))
    }

    fn has(&self, conn: Conn) -> bool {
        self.owners.iter().any(|(owner, _)| *owner == conn)
    }
}

/// See the [module](self).
pub(super) struct Server {
    sessions: BTreeMap<Conn, Session>,
    locks: Vec<Lock>,
    last: i64,
    last_wait: u64,
    birth: i64,
    /// How many connections it has room for.
    pub(super) room: usize,
    pub(super) down: bool,
    /// A session that waits does not notice that its client has gone.
    deaf_waits: bool,
    /// What it says, to whom.
    pub(super) said: Vec<(Conn, Say)>,
    pub(super) later: Vec<(Micros, Later)>,
    /// Sessions that it has ended by itself, though their client lived.
    pub(super) killed: Vec<Conn>,
}

impl Server {
    pub(super) fn new(keys: usize, deaf_waits: bool) -> Self {
        Server {
            sessions: BTreeMap::new(),
            locks: (0..keys).map(|_| Lock::default()).collect(),
            last: 0,
            last_wait: 0,
            birth: 1,
            room: usize::MAX,
            down: false,
            deaf_waits,
            said: Vec::new(),
            later: Vec::new(),
            killed: Vec::new(),
        }
    }

    fn lock(&mut self, id: &LockId) -> &mut Lock {
        let index = match id.key {
            NativeKey::Id(id) => usize::try_from(id).unwrap_or_default(),
            _ => 0,
        };
        &mut self.locks[index]
    }

    pub(super) fn is_alive(&self, conn: Conn) -> bool {
        self.sessions.contains_key(&conn)
    }

    /// Some live session, by chance.
    pub(super) fn pick(&self, process: usize, salt: u64) -> Option<Conn> {
        let all: Vec<_> = self.sessions.keys().filter(|(p, _)| *p == process).copied().collect();
        all.get(usize::try_from(salt % all.len().max(1) as u64).unwrap_or_default()).copied()
    }

    /// Returns `true` if the session has, or waits for, anything.
    pub(super) fn holds_something(&self, conn: Conn) -> bool {
        self.locks.iter().any(|lock| lock.has(conn))
    }

    pub(super) fn owners(&self) -> impl Iterator<Item = (usize, Conn)> {
        let locks = self.locks.iter().enumerate();
        locks.flat_map(|(key, lock)| lock.owners.iter().map(move |(conn, _)| (key, *conn)))
    }

    /// A statement has arrived.
    pub(super) fn hear(&mut self, conn: Conn, ask: Ask, now: Micros) {
        if matches!(ask, Ask::Open) {
            return self.open(conn, now);
        }
        let Some(session) = self.sessions.get_mut(&conn) else {
            if !matches!(ask, Ask::Fin) {
                self.said.push((conn, Say::Died));
            }
            return;
        };
        session.active = now;
        self.later.push((now + TTL, Later::Idle(conn)));
        match ask {
            Ask::Open => {}
            Ask::Batch(ops) => {
                let answers = ops.iter().map(|op| self.does(conn, op, now)).collect();
                self.said.push((conn, Say::Answers(answers)));
            }
            Ask::Wait(id, time) => {
                assert!(!self.holds_something(conn), "{conn:?} waits, and it holds something");
                self.last_wait += 1;
                let number = self.last_wait;
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.waits = Some((id.clone(), number, false));
                }
                self.later.push((now + time, Later::WaitEnds(conn, number)));
                self.lock(&id).queue.push_back((conn, id.mode));
                self.serve(&id, now);
            }
            Ask::Convert(id, to, time) => {
                let has = self.lock(&id).owners.contains(&(conn, id.mode));
                assert!(has, "{conn:?} is to change what it does not hold");
                let others = self.sessions.values();
                let circle = others.filter_map(|session| session.waits.as_ref());
                let circle = circle.filter(|(other, _, converts)| *converts && other.key == id.key);
                if circle.count() > 0 && time > 0 {
                    return self.said.push((conn, Say::Converted(Waited::Deadlock)));
                }
                self.last_wait += 1;
                let number = self.last_wait;
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.waits = Some((LockId { mode: to, ..id }, number, true));
                }
                if !self.converts(conn, now) {
                    self.later.push((now + time, Later::WaitEnds(conn, number)));
                }
            }
            Ask::Question => self.said.push((conn, Say::Told)),
            Ask::Fin => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.left = true;
                }
            }
        }
        self.bury(now);
    }

    /// Ends the sessions whose clients have gone.
    fn bury(&mut self, now: Micros) {
        let deaf = self.deaf_waits;
        let gone = |session: &Session| session.left && (!deaf || session.waits.is_none());
        while let Some(conn) = self.sessions.iter().find(|(_, s)| gone(s)).map(|(conn, _)| *conn) {
            self.end(conn, now);
        }
    }

    fn open(&mut self, conn: Conn, now: Micros) {
        if self.down || self.sessions.len() >= self.room {
            return self.said.push((conn, Say::Refused { full: !self.down }));
        }
        self.last += 1;
        let tag = SessionTag { id: self.last, birth: self.birth };
        self.sessions.insert(conn, Session { tag, waits: None, active: now, left: false });
        let left = i64::try_from(self.room.saturating_sub(self.sessions.len())).unwrap_or(i64::MAX);
        self.later.push((now + TTL, Later::Idle(conn)));
        self.said.push((conn, Say::Opened(tag, left)));
    }

    fn does(&mut self, conn: Conn, op: &BatchItem, now: Micros) -> Answer {
        match &op.what {
            Op::Try(id) | Op::TryFenced(id) => {
                let lock = self.lock(id);
                let again = lock.has(conn);
                if !lock.admits(conn, id.mode) || !again && !lock.queue.is_empty() {
                    return Answer::No;
                }
                lock.owners.push((conn, id.mode));
                if !op.what.is_written() {
                    return Answer::Yes;
                }
                lock.fence += 1;
                Answer::Fence(lock.fence)
            }
            Op::Fence(id) => {
                let lock = self.lock(id);
                if !lock.has(conn) {
                    return Answer::No;
                }
                lock.fence += 1;
                Answer::Fence(lock.fence)
            }
            Op::Unlock(id) => {
                let owners = &mut self.lock(id).owners;
                let at = owners.iter().position(|owner| *owner == (conn, id.mode));
                let Some(at) = at else { return Answer::No };
                owners.remove(at);
                self.serve(id, now);
                Answer::Yes
            }
            Op::Cancel(tag) => match self.of_tag(*tag) {
                Some(other) => {
                    self.stop(other, now);
                    Answer::Yes
                }
                None => Answer::No,
            },
            Op::End(tag) => match self.of_tag(*tag) {
                Some(other) => {
                    self.kill(other, now);
                    Answer::Yes
                }
                None => Answer::No,
            },
        }
    }

    fn of_tag(&self, tag: SessionTag) -> Option<Conn> {
        self.sessions.iter().find(|(_, session)| session.tag == tag).map(|(conn, _)| *conn)
    }

    /// Time has passed.
    pub(super) fn remember(&mut self, later: Later, now: Micros) {
        match later {
            Later::WaitEnds(conn, number) => {
                let waits = self.sessions.get(&conn).and_then(|session| session.waits.as_ref());
                if waits.is_some_and(|(_, other, _)| *other == number) && !self.converts(conn, now)
                {
                    self.stop(conn, now);
                }
            }
            Later::Idle(conn) => {
                let session = self.sessions.get(&conn);
                let silent = session.filter(|session| session.waits.is_none());
                if silent.is_some_and(|session| now >= session.active + TTL) {
                    self.end(conn, now);
                    self.said.push((conn, Say::Died));
                }
            }
        }
        self.bury(now);
    }

    /// Ends a wait without the lock.
    fn stop(&mut self, conn: Conn, now: Micros) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let Some((id, _, converts)) = session.waits.take() else { return };
        session.active = now;
        self.later.push((now + TTL, Later::Idle(conn)));
        if converts {
            return self.said.push((conn, Say::Converted(Waited::Busy)));
        }
        self.said.push((conn, Say::Waited(Waited::Busy)));
        self.lock(&id).queue.retain(|(other, _)| *other != conn);
        // It may have stood between those who share the lock and others who would.
        self.serve(&id, now);
    }

    /// Changes the mode that a session waits for, if nobody is in the way.
    fn converts(&mut self, conn: Conn, now: Micros) -> bool {
        let waits = self.sessions.get(&conn).and_then(|session| session.waits.clone());
        let Some((id, _, true)) = waits else { return false };
        let lock = self.lock(&id);
        if !lock.admits(conn, id.mode) {
            return false;
        }
        if let Some(owner) = lock.owners.iter_mut().find(|(owner, _)| *owner == conn) {
            owner.1 = id.mode;
        }
        if let Some(session) = self.sessions.get_mut(&conn) {
            (session.waits, session.active) = (None, now);
        }
        self.later.push((now + TTL, Later::Idle(conn)));
        self.said.push((conn, Say::Converted(Waited::Granted)));
        self.serve(&id, now);
        true
    }

    fn serve(&mut self, id: &LockId, now: Micros) {
        let waits = |session: &Session| session.waits.as_ref().is_some_and(|(_, _, c)| *c);
        let converting: Vec<Conn> =
            self.sessions.iter().filter(|(_, s)| waits(s)).map(|(conn, _)| *conn).collect();
        for conn in converting {
            let of = self.sessions.get(&conn).and_then(|session| session.waits.as_ref());
            if of.is_some_and(|(other, ..)| other.key == id.key) && self.converts(conn, now) {
                return;
            }
        }
        loop {
            let lock = self.lock(id);
            let Some(&(conn, mode)) = lock.queue.front() else { return };
            if !lock.admits(conn, mode) {
                return;
            }
            lock.queue.pop_front();
            lock.owners.push((conn, mode));
            if let Some(session) = self.sessions.get_mut(&conn) {
                (session.waits, session.active) = (None, now);
            }
            self.later.push((now + TTL, Later::Idle(conn)));
            self.said.push((conn, Say::Waited(Waited::Granted)));
        }
    }

    /// What this part of a batch has taken goes back.
    pub(super) fn take_back(&mut self, conn: Conn, op: &Op, now: Micros) {
        if let Op::Try(id) | Op::TryFenced(id) | Op::Fence(id) = op {
            let owners = &mut self.lock(id).owners;
            if let Some(at) = owners.iter().rposition(|owner| *owner == (conn, id.mode)) {
                owners.remove(at);
                self.serve(id, now);
            }
        }
    }

    /// Ends a session, whose client may live.
    pub(super) fn kill(&mut self, conn: Conn, now: Micros) {
        if self.is_alive(conn) {
            self.killed.push(conn);
            self.end(conn, now);
            self.said.push((conn, Say::Died));
        }
    }

    fn end(&mut self, conn: Conn, now: Micros) {
        self.sessions.remove(&conn);
        for key in 0..self.locks.len() {
            let lock = &mut self.locks[key];
            lock.owners.retain(|(owner, _)| *owner != conn);
            lock.queue.retain(|(other, _)| *other != conn);
            let id = i64::try_from(key).unwrap_or_default();
            self.serve(&LockId { key: NativeKey::Id(id), mode: Mode::Exclusive }, now);
        }
    }

    /// Ends all sessions, and is not there for a while.
    pub(super) fn go_down(&mut self, now: Micros) {
        self.down = true;
        self.birth += 1;
        let all: Vec<Conn> = self.sessions.keys().copied().collect();
        // First all of them: what one frees, none gets that ends as well.
        for lock in &mut self.locks {
            lock.queue.clear();
        }
        all.into_iter().for_each(|conn| self.kill(conn, now));
    }
}
