//! Which session is asked what, as `engine/routing.rs` has it.

use std::collections::VecDeque;

use dlock::engine::lock_table::{Event, Ticket};
use fastrand::Rng;

use super::Process;
use crate::claim::{Claim, KEYS, Key};
use crate::server::{Ask, Server, SessionId};

#[derive(Default)]
pub(super) struct Link {
    pub(super) sent: VecDeque<(Ask, Ticket)>,
    pub(super) holds: usize,
    /// What it holds or is asked for.
    pub(super) keys: [Option<Taken>; KEYS],
    /// Until the cancel is answered too, nothing else is asked: it might hit the next wait.
    pub(super) cancelling: bool,
}

/// How a session has, or will have, a key.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    pub(super) shared: bool,
    /// The server has said yes.
    pub(super) sure: bool,
    pub(super) times: usize,
}

impl Link {
    pub(super) fn claim(&mut self, claim: Claim) {
        let taken = Taken { shared: claim.shared, sure: false, times: 0 };
        self.keys[usize::from(claim.key)].get_or_insert(taken).times += 1;
    }

    pub(super) fn disclaim(&mut self, claim: Claim) {
        let taken = &mut self.keys[usize::from(claim.key)];
        if let Some(Taken { times, .. }) = taken {
            *times -= 1;
        }
        *taken = taken.filter(|taken| taken.times > 0);
    }
}

pub(super) struct Poll {
    pub(super) claim: Claim,
    pub(super) asked: bool,
    pub(super) cancelled: bool,
}

impl Process {
    /// Asks for what has come together, each on a session that may be asked.
    pub(crate) fn deal_out(&mut self, server: &mut Server) {
        for (claim, ticket) in std::mem::take(&mut self.gathered) {
            let carrier = self.carrier.unwrap_or_else(|| self.dial(server));
            self.carrier = Some(carrier);
            let taken = self.links.get(&carrier).and_then(|l| l.keys[usize::from(claim.key)]);
            let id = match taken {
                None => carrier,
                // Asked for it in the other mode: the answer to that comes first.
                Some(Taken { sure: false, .. }) => {
                    self.gathered.push_back((claim, ticket));
                    continue;
                }
                Some(Taken { shared, .. }) => {
                    let other = (shared && claim.shared).then(|| self.another(server, claim.key));
                    let Some(id) = other.flatten() else {
                        self.refused(claim, ticket);
                        continue;
                    };
                    id
                }
            };
            self.links.entry(id).or_default().claim(claim);
            self.ask(server, id, Ask::Try(claim), ticket);
        }
    }

    /// Whom to ask for what the carrier shares: a session that holds nothing; or the carrier, if
    /// there is none and no writer is in line here.
    pub(super) fn another(&mut self, server: &mut Server, key: Key) -> Option<SessionId> {
        let free = self.free_waiter(server);
        let waiting =
            self.links.values().flat_map(|link| &link.sent).filter_map(|(ask, _)| match ask {
                Ask::Wait(claim) => Some(claim),
                _ => None,
            });
        let polled = self.polls.values().map(|poll| &poll.claim);
        let writes = waiting.chain(polled).any(|claim| claim.key == key && !claim.shared);
        self.cornered += u64::from(free.is_none() && !writes);
        free.or(self.carrier.filter(|_| !writes))
    }

    /// The server, or the session that would be asked, has said no.
    pub(super) fn refused(&mut self, key: Claim, ticket: Ticket) {
        match self.polls.get_mut(&ticket) {
            None => self.reports.push_back(Event::Refused { key, ticket }),
            Some(poll) if poll.cancelled => {
                self.polls.remove(&ticket);
                self.reports.push_back(Event::Ended { key, ticket });
            }
            Some(poll) => poll.asked = false,
        }
    }

    /// Tries once more for something that no session is free to wait for.
    pub(crate) fn poll(&mut self, rng: &mut Rng) -> bool {
        let count = self.polls.values().filter(|poll| !poll.asked).count();
        let Some(chosen) = (count > 0).then(|| rng.usize(..count)) else { return false };
        let due = self.polls.iter_mut().filter(|(_, poll)| !poll.asked).nth(chosen);
        let Some((&ticket, poll)) = due else { return false };
        poll.asked = true;
        self.gathered.push_back((poll.claim, ticket));
        true
    }

    pub(super) fn free_waiter(&mut self, server: &mut Server) -> Option<SessionId> {
        let free = |link: &Link| link.holds == 0 && link.sent.is_empty() && !link.cancelling;
        let mut others = self.links.iter().filter(|(id, _)| Some(**id) != self.carrier);
        match others.find(|(_, link)| free(link)).map(|(id, _)| *id) {
            None if self.links.len() + usize::from(self.carrier.is_none()) < self.most => {
                Some(self.dial(server))
            }
            found => found,
        }
    }
}
