//! A grant on its way from one process to another: the engine's part on both sides.

use std::sync::Arc;

use super::actor::Actor;
use super::executor::{Adopted, Executor, HandedOver, Reply};
use super::lock_table::GrantId;
use super::message::{Adoption, Request};
use crate::error::Error;
use crate::status::lost::{LostInfo, LostReason};

impl<E: Executor> Actor<E> {
    /// Its guard has gone with the question. From now on nobody here holds it: who adopts it does.
    pub(super) fn hand_over_to_token(
        &mut self,
        id: GrantId,
        owner: Arc<str>,
        reply: Reply<HandedOver>,
    ) {
        if !E::HAS_TOKENS {
            let _ = reply.send(Err(self.no_tokens()));
            return self.release(id);
        }
        match self.callers.granted.take_held(id) {
            Some((hold, (lock_id, _))) => {
                hold.mark_released();
                self.executor.make_token(&lock_id, id, owner, reply);
            }
            // It is lost, which its guard knows.
            None => drop(reply),
        }
    }

    pub(super) fn adopt(&mut self, adoption: Adoption) {
        let Adoption { request, owner, fence, refused } = adoption;
        if !E::HAS_TOKENS {
            return request.fail(self.no_tokens());
        }
        let (lock_id, options, id) = (request.lock_id.clone(), request.options.clone(), request.id);
        let ticket = self.table.ticket();
        self.callers.requests.insert(id, request);
        let adopted = Adopted { lock_id, owner, fence, options, request: id, refused };
        self.executor.adopt(ticket, adopted);
    }

    /// It was lost again before its caller knew of it.
    pub(super) fn refuse_adoption(&mut self, request: Box<Request>) {
        let held_for = request.waited();
        let info = LostInfo { key: request.key.clone(), reason: LostReason::NotHeld, held_for };
        request.fail(info.into());
    }

    fn no_tokens(&self) -> Error {
        Error::Unsupported {
            backend: self.executor.label(),
            what: "locks that can be handed over to another process".into(),
            instead:
                "they end with their connection; leases have that: use sqlite://, or put lease+ \
                      before a server's url"
                    .into(),
        }
    }
}
