//! Which session is asked what, where one key can be held in several modes.
//!
//! To a server, a session that holds a key may have it again at once: in any mode, and past whoever
//! is in line. So a session is not asked for a key that it holds.

use super::Sessions;
use super::link::{Link, Stand};
use super::session::SessionId;
use crate::backend::{Do, Op};
use crate::claim::Claim;

/// A first question for a key.
pub(super) fn a_try(claim: Claim, fenced: bool) -> Do {
    if fenced { Do::TryFenced(claim) } else { Do::Try(claim) }
}

fn is_written(op: &Op) -> bool {
    matches!(op.what, Do::TryFenced(_))
}

impl Sessions {
    /// Finds the carriers for what has come together, or opens them.
    pub(super) fn appoint(&mut self) {
        let written = self.gathered.iter().any(is_written);
        let plain =
            !self.questions.is_empty() || self.in_doubt || !self.gathered.iter().all(is_written);
        if written && self.writer.is_none() {
            self.writer = self.new_writer(plain);
        }
        if plain && self.carrier.is_none() && self.may_dial() {
            self.carrier = Some(self.dial());
        }
    }

    /// A session that holds nothing: then nothing else depends on it. `plain`: the carrier is needed
    /// as it is.
    fn new_writer(&mut self, plain: bool) -> Option<SessionId> {
        let is_empty = |link: &Link| link.is_free() || link.is_coming();
        let carrier = self.carrier.filter(|_| !plain);
        if carrier.and_then(|id| self.links.get(&id)).is_some_and(is_empty) {
            return self.carrier.take();
        }
        let free = self.others().find(|(_, link)| link.is_free());
        free.map(|(id, _)| *id).or_else(|| self.may_dial().then(|| self.dial()))
    }

    /// Has the writer wait, if it has nothing to do and there is no other session.
    pub(super) fn spare_writer(&mut self) -> Option<SessionId> {
        let idle = self.writer.and_then(|id| self.links.get(&id)).is_some_and(Link::is_free);
        if idle && self.carrier.is_some() && !self.gathered.iter().any(is_written) {
            return self.writer.take();
        }
        None
    }

    /// Gives the carriers that are idle what has come together; other sessions get what those must
    /// not be asked. Where there is no room for both carriers, the one there is does all.
    pub(super) fn deal_out(&mut self) {
        let carrier = self.carrier.or(self.writer);
        let writer = self.writer.or(self.carrier);
        if let Some(link) = carrier.and_then(|id| self.links.get_mut(&id))
            && link.is_idle()
        {
            link.questions.append(&mut self.questions);
        }
        for op in std::mem::take(&mut self.gathered) {
            let id = if is_written(&op) { writer } else { carrier };
            let link = id.and_then(|id| self.links.get_mut(&id));
            let Some(link) = link.filter(|link| link.is_idle()) else {
                self.gathered.push(op);
                continue;
            };
            let Some(claim) = op.what.tried() else {
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
                Stand::Has => self.ask_another(id, op),
                Stand::Shares => self.ask_another(None, op),
            }
        }
    }

    /// Asks a session that holds nothing, so that others who are in line are not passed. If there
    /// is none and nobody here is in line, the session that has the key already: that is better
    /// than to let those who share it wait for each other.
    fn ask_another(&mut self, same: Option<SessionId>, op: Op) {
        let Some(claim) = op.what.tried() else {
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
