//! How a grant comes to be held in another mode: what is asked of its session, and what of the
//! answers.

use std::time::Duration;

use tokio::time::Instant;

use super::Sessions;
use super::conversions::Wanted;
use super::handle::Conversion;
use super::task::SessionId;
use crate::backend::Waited;
use crate::clock::Time;
use crate::engine::lock_table::{Event, Stays, Ticket};
use crate::error::Result;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

impl Sessions {
    /// Has the session that holds this grant hold it in another mode.
    pub(super) fn begin_conversion(
        &mut self,
        lock_id: &LockId,
        grant: Ticket,
        to: Mode,
        wait: (Option<Instant>, bool),
    ) {
        let session = self.held.get(&grant).map(|held| held.session);
        let Some(link) = session.and_then(|id| self.links.get_mut(&id)) else {
            // The loss has been reported.
            return;
        };
        // From now on it may have the stronger one.
        if to == Mode::Exclusive {
            link.change_mode(&lock_id.key, to);
        }
        self.conversions.add(grant, to, wait, Instant::now());
    }

    /// Gives each session what it is to be asked now.
    pub(super) fn deal_out_conversions(&mut self, clock: Instant) {
        for grant in self.conversions.due(clock) {
            let Some(held) = self.held.get(&grant) else {
                self.conversions.forget(grant);
                continue;
            };
            let link = self.links.get_mut(&held.session);
            // The server counts how often it has the key: all else of it goes back first.
            let Some(link) = link.filter(|link| link.has_once(&held.lock_id.key)) else {
                self.conversions.put_off(grant, clock);
                continue;
            };
            if let Some(Wanted { to, until, slice }) = self.conversions.ask(grant) {
                let lock_id = held.lock_id.clone();
                link.conversions.push(Conversion { grant, lock_id, to, until, slice });
            }
        }
    }

    /// What became of a change of mode that was to wait this long, and was asked then.
    pub(super) fn conversion_answered(
        &mut self,
        id: SessionId,
        Conversion { grant, to, .. }: Conversion,
        (time, sent): (Duration, Time),
        end: Result<Waited>,
    ) {
        let (Some(held), Some(link)) = (self.held.get_mut(&grant), self.links.get_mut(&id)) else {
            self.conversions.forget(grant);
            return;
        };
        let why = match end {
            Ok(Waited::Granted) => {
                held.lock_id.mode = to;
                let key = held.lock_id.clone();
                link.change_mode(&key.key, to);
                self.conversions.forget(grant);
                return self.reports.push(Event::Converted { grant, key }.into());
            }
            Ok(Waited::Busy) => {
                // A server may count in larger units than ours.
                let waited = !time.is_zero() && sent.elapsed() >= time / 2;
                if self.conversions.refused(grant, waited, Instant::now()) {
                    return;
                }
                Stays::BusyElsewhere
            }
            Ok(Waited::Deadlock) => Stays::Deadlock,
            Err(error) => {
                self.trouble = error;
                Stays::Failed
            }
        };
        self.conversions.forget(grant);
        self.stays_as_it_is(grant, why);
    }

    /// The caller does not want it any more.
    pub(super) fn stop_conversion(&mut self, grant: Ticket) {
        if self.conversions.stop(grant) {
            self.stays_as_it_is(grant, Stays::BusyElsewhere);
        }
    }

    fn stays_as_it_is(&mut self, grant: Ticket, why: Stays) {
        if let Some(held) = self.held.get(&grant)
            && let Some(link) = self.links.get_mut(&held.session)
        {
            link.change_mode(&held.lock_id.key, held.lock_id.mode);
        }
        self.reports.push(Event::Unconverted { grant, why }.into());
    }

    /// A session that has had no answer for what was to be asked of it is gone, and its grants with
    /// it.
    pub(super) fn forget_conversion(&mut self, grant: Ticket) {
        self.conversions.forget(grant);
    }
}
