//! The pure state machine: for each key, who holds it here and who waits for it here.
//!
//! Events go in, actions come out. It knows no clock, no channel and no SQL, so that a simulation
//! can drive it through millions of interleavings (`tests/simulation.rs` does).
//!
//! For one key there is at most one question on its way to the database at any time: a try, a wait,
//! the cancelling of a wait, or an unlock. Each carries a ticket; an answer to a ticket that is not
//! the current one means that engine and database disagree.
//!
//! A key that can be shared is held for all who share it here by one grant. Who comes later joins
//! them, until the grant is `budget_spent`: then the database is asked first, on a session that does not
//! hold the key, for it alone knows of a writer in another process. If it says yes, the newcomers
//! join and the second grant goes back, aside from whatever else is asked for the key.

mod apart;
mod entry;
mod event;
mod grants;
mod index;
mod question;
mod queue;
#[cfg(test)]
#[path = "../../../tests/simulation/table/mod.rs"]
pub(crate) mod simulation;

use self::apart::Apart;
use self::entry::{Entry, Phase, Waiter};
pub use self::event::{Action, Event, GrantId, Refusal, RequestId, Shareable, Stays, Ticket};
use self::index::Index;
use super::map::Map;

/// See the [module](self).
#[derive(Debug)]
pub struct Table<K> {
    keys: Map<K, Entry>,
    index: Index<K>,
    /// Grants that change their mode, or have.
    apart: Map<Ticket, Apart<K>>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table { keys: Map::default(), index: Index::default(), apart: Map::default() }
    }
}

impl<K: Shareable> Table<K> {
    /// Takes an event in and appends what is to be done. `contended`: the event's key was fought over a
    /// moment ago, so that a try would be refused anyway.
    pub fn step(&mut self, event: Event<K>, contended: bool, out: &mut Vec<Action<K>>) {
        match event {
            Event::Acquire { request, key, patient, budget_spent } => {
                let waiter = Waiter { request, patient, expired: false };
                self.acquire(waiter, key, budget_spent, contended, out);
            }
            Event::Expire { request } => self.expire(request, out),
            Event::Overdue { request } => self.overdue(request, out),
            Event::Abandon { request } => {
                if let Some(key) = self.withdraw(request) {
                    self.stop_waiting(&key, out);
                }
            }
            Event::Adopted { key, ticket, request } => self.adopted(key, ticket, request, out),
            Event::Granted { key, ticket } => self.granted(key, ticket, out),
            Event::Refused { key, ticket } => match self.phase(&key, ticket) {
                Some(Phase::Trying) => self.ask_again(key, true, Refusal::BusyElsewhere, out),
                _ => out.push(Action::DiscardSession { key, ticket }),
            },
            Event::Ended { key, ticket } => match self.phase(&key, ticket) {
                Some(Phase::Waiting) => self.ask_again(key, true, Refusal::BusyElsewhere, out),
                // Somebody may have come who wants only a try.
                Some(Phase::Cancelling) => self.ask_anew(key, out),
                _ => out.push(Action::DiscardSession { key, ticket }),
            },
            Event::Failed { key, ticket, fatal } => self.failed(key, ticket, fatal, out),
            Event::Unlocked { key, ticket, clean } => match self.unlocking(&key, ticket) {
                Some((hold, aside)) => {
                    out.extend(hold.map(|hold| Action::MarkReleased { hold, clean }));
                    if !aside {
                        self.vacate(key, contended, out);
                    }
                }
                None => out.push(Action::DiscardSession { key, ticket }),
            },
            Event::Release { hold, budget_spent } => self.release(hold, budget_spent, out),
            Event::Lost { key, grant } => self.lost(key, grant, out),
            Event::Convert { hold, patient } => self.convert(hold, patient, out),
            Event::Stay { hold } => self.stay(hold, out),
            Event::Converted { grant, key } => self.converted(grant, key, out),
            Event::Unconverted { grant, why } => self.unconverted(grant, why, out),
        }
    }

    /// A ticket for a question beside those of the table.
    pub fn ticket(&mut self) -> Ticket {
        self.index.ticket()
    }

    /// Whether nothing is held, asked for or wanted.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.index.is_empty() && self.apart.is_empty()
    }

    /// Whether the key is not among so many that are held, asked for or wanted.
    pub fn is_beyond(&self, most: usize, key: &K) -> bool {
        self.keys.len() + self.apart.len() >= most && !self.keys.contains_key(key)
    }

    /// Who holds the key here.
    pub fn holders(&self, key: &K) -> impl Iterator<Item = GrantId> {
        let grant = self.keys.get(key).and_then(|entry| entry.grant.as_ref());
        let joined = grant.into_iter().flat_map(|grant| grant.holders.iter().copied());
        joined.chain(self.holders_apart(key))
    }

    /// Whether the key is held here.
    pub fn is_held(&self, key: &K) -> bool {
        self.holders(key).next().is_some()
    }

    /// Those who wait for the key.
    pub fn waiting(&self, key: &K) -> impl Iterator<Item = RequestId> {
        self.keys.get(key).into_iter().flat_map(|entry| entry.queue.iter().map(|w| w.request))
    }
}
