//! Another mode of a lock that is held, without a gap in which others could have it.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::engine::{Conversion as Wanted, Engine, Grant, Message};
use crate::error::{Error, Result};
use crate::spec::mode::Mode;
use crate::spec::wait::Wait;
use crate::status::lost::LostReason;

/// A caller that asks for another mode. Tells the engine when it goes before it has an answer.
pub(super) struct Conversion<'a> {
    grant: &'a Arc<Grant>,
    engine: &'a Engine,
    /// The engine has been asked, and has not answered.
    is_pending: bool,
}

impl<'a> Conversion<'a> {
    pub(super) fn new(grant: &'a Arc<Grant>, engine: &'a Engine) -> Self {
        Conversion { grant, engine, is_pending: false }
    }

    /// Has the lock be held in this mode, waiting at most `wait` for others.
    pub(super) async fn run(mut self, to: Mode, wait: Wait) -> Result<()> {
        if !self.engine.is_of_this_process() {
            return Err(Error::Closed);
        }
        let (reply, answer) = oneshot::channel();
        let wanted = Wanted { to, deadline: self.engine.deadline(wait), reply };
        if self.engine.send(Message::Convert { hold: self.grant.id, wanted }).is_err() {
            self.grant.lose(LostReason::Closed);
            return not_lost(self.grant);
        }
        self.is_pending = true;
        let answer = tokio::select! {
            biased;
            _ = self.grant.lost() => None,
            answer = answer => answer.ok(),
        };
        self.is_pending = false;
        // It is lost: with its engine, or with its session.
        answer.unwrap_or_else(|| not_lost(self.grant).and(Err(Error::Closed)))
    }
}

impl Drop for Conversion<'_> {
    fn drop(&mut self) {
        if self.is_pending {
            // An engine that has ended asks for nothing.
            let _ = self.engine.send(Message::GiveUpConversion { hold: self.grant.id });
        }
    }
}

/// An error if the lock is lost, as far as this process can know.
pub(super) fn not_lost(grant: &Grant) -> Result<()> {
    grant.is_lost();
    grant.lost_info().map_or(Ok(()), |info| Err(info.clone().into()))
}
