//! A model of a process: what `engine/sessions.rs` and `engine/routing.rs` do with the table's
//! actions, without a clock. The carrier takes the tries, but for what it holds; others wait; keys
//! that none is free to wait for are polled on the carrier.

mod routing;

use std::collections::{BTreeMap, VecDeque};

use dlock::engine::lock_table::{Action, Event, Table, Ticket};
use fastrand::Rng;

use self::routing::{Link, Poll};
use super::claim::{CLAIMS, Claim};
use super::ledger::Ledger;
use super::server::{Answer, Ask, Server, SessionId};

/// See the [module](self).
pub(crate) struct Process {
    pub(crate) table: Table<Claim>,
    pub(crate) ledger: Ledger,
    /// What the table will be told, in this order.
    pub(crate) reports: VecDeque<Event<Claim>>,
    /// On which session the lock was when it was granted.
    pub(crate) granted_on: [Option<SessionId>; CLAIMS],
    /// How often no other session was free to be asked for what the carrier holds.
    pub(crate) cornered: u64,
    links: BTreeMap<SessionId, Link>,
    carrier: Option<SessionId>,
    /// Tries that the carrier cannot be asked yet.
    gathered: VecDeque<(Claim, Ticket)>,
    /// What was granted, by ticket.
    held: BTreeMap<Ticket, (Claim, SessionId)>,
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
            granted_on: [None; CLAIMS],
            cornered: 0,
            links: BTreeMap::new(),
            carrier: None,
            gathered: VecDeque::new(),
            held: BTreeMap::new(),
            polls: BTreeMap::new(),
            most,
        }
    }

    /// Nothing is held, asked or to be told.
    pub(crate) fn is_idle(&self) -> bool {
        let silent = |link: &Link| {
            link.sent.is_empty() && link.holds == 0 && link.keys.iter().all(Option::is_none)
        };
        self.table.is_empty()
            && self.ledger.is_empty()
            && self.reports.is_empty()
            && self.gathered.is_empty()
            && self.polls.is_empty()
            && self.held.is_empty()
            && self.links.values().all(silent)
    }

    /// Whether what was granted by this ticket is held on a session that is not known to be dead.
    pub(crate) fn has(&self, grant: Ticket) -> bool {
        self.held.contains_key(&grant)
    }

    /// Those who wait are those who were not answered, in their order.
    pub(crate) fn waits_as_known(&self) {
        for (page, claim) in self.ledger.pages.iter().zip(Claim::all()) {
            let known = page.line.iter().map(|caller| caller.request);
            assert!(self.table.waiting(&claim).eq(known), "the table forgets or invents a caller");
        }
    }

    pub(crate) fn carry_out(&mut self, action: &Action<Claim>, server: &mut Server) {
        match *action {
            Action::Try { key, ticket } => self.gathered.push_back((key, ticket)),
            Action::Wait { key, ticket } => match self.free_waiter(server) {
                Some(id) => self.ask(server, id, Ask::Wait(key), ticket),
                None => {
                    let poll = Poll { claim: key, asked: false, cancelled: false };
                    self.polls.insert(ticket, poll);
                }
            },
            Action::Cancel { key, ticket } => self.cancel(server, key, ticket),
            Action::Unlock { key, grant, ticket, .. } => match self.held.remove(&grant) {
                Some((claim, id)) => {
                    assert_eq!(claim, key, "what was granted for something else is given back");
                    self.links.entry(id).or_default().disclaim(key);
                    self.ask(server, id, Ask::Unlock(key), ticket);
                }
                None => self.reports.push_back(Event::Failed { key, ticket, fatal: false }),
            },
            Action::Grant { key, grant, .. } => {
                self.granted_on[key.index()] = self.held.get(&grant).map(|(_, id)| *id);
            }
            Action::DiscardSession { ticket, .. } => {
                if let Some((_, id)) = self.held.get(&ticket) {
                    self.drop_session(server, *id, false);
                }
            }
            _ => {}
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
                if matches!(ask, Ask::Wait(_)) {
                    link.claim(key);
                }
                link.holds += 1;
                if let Some(taken) = &mut link.keys[usize::from(key.key)] {
                    taken.sure = true;
                }
                self.polls.remove(&ticket);
                let before = self.held.insert(ticket, (key, id));
                assert!(before.is_none(), "one question was granted twice");
                self.reports.push_back(Event::Granted { key, ticket });
            }
            (Answer::Waited(_), Ask::Wait(key)) => {
                self.reports.push_back(Event::Ended { key, ticket });
            }
            (Answer::Error, Ask::Try(key)) => {
                link.disclaim(key);
                self.polls.remove(&ticket);
                self.reports.push_back(Event::Failed { key, ticket, fatal: true });
            }
            (_, Ask::Try(key)) => {
                link.disclaim(key);
                self.refused(key, ticket);
            }
            (_, Ask::Unlock(key)) => {
                link.holds -= 1;
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

    fn ask(&mut self, server: &mut Server, id: SessionId, ask: Ask, ticket: Ticket) {
        if let Some(link) = self.links.get_mut(&id) {
            link.sent.push_back((ask, ticket));
            server.ask(id, ask);
        }
    }

    fn dial(&mut self, server: &mut Server) -> SessionId {
        let id = server.open();
        self.links.insert(id, Link::default());
        id
    }

    fn cancel(&mut self, server: &mut Server, key: Claim, ticket: Ticket) {
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
            let carrier = self.carrier.unwrap_or_else(|| self.dial(server));
            self.carrier = Some(carrier);
            self.ask(server, carrier, Ask::Cancel(id), ticket);
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
                    self.reports.push_back(Event::Failed { key, ticket, fatal: false });
                }
                // Whether that session is or will be cancelled, nobody knows.
                Ask::Cancel(other) => self.drop_session(server, other, false),
            }
        }
        let lost = self.held.extract_if(.., |_, (_, session)| *session == id);
        let lost = lost.map(|(grant, (key, _))| Event::Lost { key, grant });
        self.reports.extend(lost);
    }
}
