//! A model of a process: what `engine/sessions.rs` does with the table's actions, without a clock.
//! The carrier takes the tries; others wait; keys that none is free to wait for are polled on it.

use std::collections::{BTreeMap, VecDeque};

use dlock::engine::table::{Action, Event, Table, Ticket};
use fastrand::Rng;

use super::ledger::Ledger;
use super::server::{Answer, Ask, KEYS, Key, Server, SessionId};

#[derive(Default)]
struct Link {
    sent: VecDeque<(Ask, Ticket)>,
    holds: usize,
    /// Until the cancel is answered too, nothing else is asked: it might hit the next wait.
    cancelling: bool,
}

struct Poll {
    key: Key,
    asked: bool,
    cancelled: bool,
}

/// See the [module](self).
pub(crate) struct Process {
    pub(crate) table: Table<Key>,
    pub(crate) ledger: Ledger,
    /// What the table will be told, in this order.
    pub(crate) reports: VecDeque<Event<Key>>,
    /// On which session the lock was when it was granted.
    pub(crate) granted_on: [Option<SessionId>; KEYS],
    links: BTreeMap<SessionId, Link>,
    carrier: Option<SessionId>,
    held: [Option<(SessionId, Ticket)>; KEYS],
    polls: BTreeMap<Ticket, Poll>,
    most: usize,
}

impl Process {
    /// A process with so many sessions at most.
    pub(crate) fn new(most: usize) -> Self {
        Process {
            table: Table::default(),
            ledger: Ledger::default(),
            reports: VecDeque::new(),
            granted_on: [None; KEYS],
            links: BTreeMap::new(),
            carrier: None,
            held: [None; KEYS],
            polls: BTreeMap::new(),
            most,
        }
    }

    /// Nothing is held, asked or to be told.
    pub(crate) fn is_idle(&self) -> bool {
        self.table.is_empty()
            && self.ledger.is_empty()
            && self.reports.is_empty()
            && self.polls.is_empty()
            && self.held.iter().all(Option::is_none)
            && self.links.values().all(|link| link.sent.is_empty() && link.holds == 0)
    }

    /// Whether the key is held on a session that is not known to be dead.
    pub(crate) fn has(&self, key: Key) -> bool {
        self.held[usize::from(key)].is_some()
    }

    /// Those who wait are those who were not answered, in their order.
    pub(crate) fn waits_as_known(&self) {
        for (page, key) in self.ledger.pages.iter().zip(0..) {
            let known = page.line.iter().map(|caller| caller.request);
            assert!(self.table.waiting(&key).eq(known), "the table forgets or invents a caller");
        }
    }

    pub(crate) fn carry_out(&mut self, action: &Action<Key>, server: &mut Server) {
        match *action {
            Action::Try { key, ticket } => self.ask_carrier(server, Ask::Try(key), ticket),
            Action::Wait { key, ticket } => match self.free_waiter(server) {
                Some(id) => self.ask(server, id, Ask::Wait(key), ticket),
                None => {
                    let poll = Poll { key, asked: false, cancelled: false };
                    self.polls.insert(ticket, poll);
                }
            },
            Action::Cancel { key, ticket } => self.cancel(server, key, ticket),
            Action::Unlock { key, ticket, .. } => match self.held[usize::from(key)] {
                Some((id, _)) => self.ask(server, id, Ask::Unlock(key), ticket),
                None => self.reports.push_back(Event::Failed { key, ticket, fatal: false }),
            },
            Action::Grant { key, .. } => {
                self.granted_on[usize::from(key)] = self.held[usize::from(key)].map(|(id, _)| id);
            }
            Action::Distrust { key, ticket } => match self.held[usize::from(key)] {
                Some((id, granted)) if granted == ticket => self.drop_session(server, id, false),
                _ => {}
            },
            Action::Refuse { .. } | Action::Settle { .. } | Action::Lose { .. } => {}
        }
    }

    /// Hears the next answer of some session; says which.
    pub(crate) fn hear(
        &mut self,
        server: &mut Server,
        rng: &mut Rng,
    ) -> Option<(SessionId, Answer)> {
        let count = self.links.keys().filter(|id| server.has_answer(**id)).count();
        let chosen = (count > 0).then(|| rng.usize(..count))?;
        let id = *self.links.keys().filter(|id| server.has_answer(**id)).nth(chosen)?;
        let answer = server.answer(id)?;
        if matches!(answer, Answer::Died) {
            self.drop_session(server, id, rng.u8(..4) == 0);
            return Some((id, answer));
        }
        let link = self.links.get_mut(&id)?;
        let (ask, ticket) = link.sent.pop_front()?;
        match (answer, ask) {
            (Answer::Done(true), Ask::Try(key)) | (Answer::Waited(true), Ask::Wait(key)) => {
                link.holds += 1;
                self.polls.remove(&ticket);
                let before = self.held[usize::from(key)].replace((id, ticket));
                assert!(before.is_none(), "key {key} is granted to a process that holds it");
                self.reports.push_back(Event::Granted { key, ticket });
            }
            (Answer::Waited(_), Ask::Wait(key)) => {
                self.reports.push_back(Event::Ended { key, ticket });
            }
            (Answer::Error, Ask::Try(key)) => {
                self.polls.remove(&ticket);
                self.reports.push_back(Event::Failed { key, ticket, fatal: true });
            }
            (_, Ask::Try(key)) => match self.polls.get_mut(&ticket) {
                None => self.reports.push_back(Event::Refused { key, ticket }),
                Some(poll) if poll.cancelled => {
                    self.polls.remove(&ticket);
                    self.reports.push_back(Event::Ended { key, ticket });
                }
                Some(poll) => poll.asked = false,
            },
            (_, Ask::Unlock(key)) => {
                link.holds -= 1;
                self.held[usize::from(key)] = None;
                // Now and then the server says that it was not held.
                let clean = rng.u8(..32) > 0;
                self.reports.push_back(Event::Unlocked { key, ticket, clean });
            }
            (_, Ask::Cancel(other)) => {
                if let Some(link) = self.links.get_mut(&other) {
                    link.cancelling = false;
                }
            }
            (_, Ask::Wait(_)) => {}
        }
        Some((id, answer))
    }

    /// Tries once more for some key that no session is free to wait for.
    pub(crate) fn poll(&mut self, server: &mut Server, rng: &mut Rng) -> bool {
        let count = self.polls.values().filter(|poll| !poll.asked).count();
        let Some(chosen) = (count > 0).then(|| rng.usize(..count)) else { return false };
        let due = self.polls.iter_mut().filter(|(_, poll)| !poll.asked).nth(chosen);
        let Some((&ticket, poll)) = due else { return false };
        poll.asked = true;
        let key = poll.key;
        self.ask_carrier(server, Ask::Try(key), ticket);
        true
    }

    fn ask(&mut self, server: &mut Server, id: SessionId, ask: Ask, ticket: Ticket) {
        if let Some(link) = self.links.get_mut(&id) {
            link.sent.push_back((ask, ticket));
            server.ask(id, ask);
        }
    }

    fn ask_carrier(&mut self, server: &mut Server, ask: Ask, ticket: Ticket) {
        let id = self.carrier.unwrap_or_else(|| self.dial(server));
        self.carrier = Some(id);
        self.ask(server, id, ask, ticket);
    }

    fn dial(&mut self, server: &mut Server) -> SessionId {
        let id = server.open();
        self.links.insert(id, Link::default());
        id
    }

    fn free_waiter(&mut self, server: &mut Server) -> Option<SessionId> {
        let free = |link: &Link| link.holds == 0 && link.sent.is_empty() && !link.cancelling;
        let mut others = self.links.iter().filter(|(id, _)| Some(**id) != self.carrier);
        match others.find(|(_, link)| free(link)).map(|(id, _)| *id) {
            None if self.links.len() + usize::from(self.carrier.is_none()) < self.most => {
                Some(self.dial(server))
            }
            found => found,
        }
    }

    fn cancel(&mut self, server: &mut Server, key: Key, ticket: Ticket) {
        if let Some(poll) = self.polls.get_mut(&ticket) {
            poll.cancelled = true;
            if !poll.asked {
                self.polls.remove(&ticket);
                self.reports.push_back(Event::Ended { key, ticket });
            }
            return;
        }
        let waits = |link: &Link| link.sent.front().is_some_and(|(_, sent)| *sent == ticket);
        let found = self.links.iter_mut().find(|(_, link)| waits(link));
        // Its answer may be in the reports already.
        if let Some((&id, link)) = found {
            link.cancelling = true;
            self.ask_carrier(server, Ask::Cancel(id), ticket);
        }
    }

    fn drop_session(&mut self, server: &mut Server, id: SessionId, fatal: bool) {
        let Some(link) = self.links.remove(&id) else { return };
        server.leave(id);
        if self.carrier == Some(id) {
            self.carrier = None;
        }
        for (ask, ticket) in link.sent {
            match ask {
                Ask::Try(key) => match self.polls.get_mut(&ticket) {
                    Some(poll) => poll.asked = false,
                    None => self.reports.push_back(Event::Failed { key, ticket, fatal }),
                },
                Ask::Wait(key) => self.reports.push_back(Event::Failed { key, ticket, fatal }),
                Ask::Unlock(key) => {
                    self.held[usize::from(key)] = None;
                    self.reports.push_back(Event::Failed { key, ticket, fatal: false });
                }
                // Whether that session is or will be cancelled, nobody knows.
                Ask::Cancel(other) => self.drop_session(server, other, false),
            }
        }
        for key in 0..KEYS {
            if self.held[key].is_some_and(|(session, _)| session == id) {
                self.held[key] = None;
                self.reports.push_back(Event::Lost { key: key as Key });
            }
        }
    }
}
