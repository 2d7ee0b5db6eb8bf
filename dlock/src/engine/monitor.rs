//! Watches over the sessions: heartbeats, loss by the clock, and connections that nobody needs.

use std::time::Duration;

use tokio::time::Instant;

use super::link::Due;
use super::session::SessionId;
use super::sessions::Sessions;
use crate::backend::SessionBackend;
use crate::error::LostReason;

impl<B: SessionBackend> Sessions<B> {
    /// Does what the clock asks of each session.
    pub(super) fn watch_over(&mut self) {
        let ids: Vec<SessionId> = self.links.keys().copied().collect();
        for id in ids {
            let carrier = self.carrier == Some(id);
            let Some(link) = self.links.get_mut(&id) else { continue };
            match link.due(carrier) {
                Due::Ping => link.ping(),
                Due::Close => {
                    link.close();
                    self.links.remove(&id);
                }
                Due::Dead => self.drop_session(id, LostReason::Unconfirmed),
                // What it holds stays with it; what is new goes to another one.
                Due::Stuck(_) if carrier => self.carrier = None,
                Due::Stuck(_) | Due::Later(_) => {}
            }
        }
    }

    /// When the clock next asks something of a session.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let due = self.links.iter().map(|(id, link)| match link.due(self.carrier == Some(*id)) {
            Due::Stuck(left) | Due::Later(left) => left,
            Due::Ping | Due::Close | Due::Dead => Duration::ZERO,
        });
        due.min().filter(|left| *left < Duration::MAX).map(|left| Instant::now() + left)
    }
}
