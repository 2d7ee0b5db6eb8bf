//! Which session is asked what, where one key can be held in several modes.
//!
//! To a server, a session that holds a key may have it again at once: in any mode, and past whoever
//! is in line. So a session is not asked for a key that it holds.

use super::Sessions;
use super::link::{Link, Stand};
use super::session::SessionId;
use crate::backend::{Do, Op, SessionBackend};
use crate::claim::Claim;

impl<B: SessionBackend> Sessions<B> {
    /// Gives the carrier, which is idle, what has come together; other sessions get what it must
    /// not be asked.
    pub(super) fn deal_out(&mut self, carrier: SessionId) {
        for op in std::mem::take(&mut self.gathered) {
            let Some(link) = self.links.get_mut(&carrier) else {
                return self.gathered.push(op);
            };
            let Do::Try(claim) = &op.what else {
                link.batch.push(op);
                continue;
            };
            match link.stand(claim) {
                Stand::Free => {
                    link.claim(claim);
                    link.batch.push(op);
                }
                // In this very batch, in another mode: the answer to that comes first.
                Stand::Unsure => self.gathered.push(op),
                Stand::Excludes => self.refused(claim.clone(), op.ticket),
                Stand::Has => self.ask_another(Some(carrier), op),
                Stand::Shares => self.ask_another(None, op),
            }
        }
    }

    /// Asks a session that holds nothing, so that others who are in line are not passed. If there
    /// is none and nobody here is in line, the session that has the key already: that is better
    /// than to let those who share it wait for each other.
    fn ask_another(&mut self, same: Option<SessionId>, op: Op) {
        let Do::Try(claim) = &op.what else {
            return;
        };
        let free = self.free_waiter();
        let id = free.or(same.filter(|_| !self.is_in_the_way_of_ours(claim)));
        match id.and_then(|id| self.links.get_mut(&id)) {
            Some(link) => {
                link.claim(claim);
                link.batch.push(op);
            }
            None => self.refused(claim.clone(), op.ticket),
        }
    }

    /// Somebody here waits for the key in a mode that does not go with this one.
    fn is_in_the_way_of_ours(&self, claim: &Claim) -> bool {
        let waits = self.links.values().filter_map(Link::waiting_claim);
        let polls = self.polls.values().map(|poll| &poll.claim);
        let mut others = waits.chain(polls).filter(|other| other.key == claim.key);
        others.any(|other| !other.mode.is_compatible_with(claim.mode))
    }
}
