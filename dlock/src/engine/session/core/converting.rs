//! How a grant comes to be held in another mode: what is asked of its session, and what of the
//! answers.

use std::time::{Duration, Instant};

use super::SessionCore;
use super::action::{Now, SessionId};
use super::conversions::Wanted;
use super::handle::Conversion;
use crate::backend::Waited;
use crate::clock::Time;
use crate::engine::lock_table::{Event, Stays, Ticket};
use crate::error::Result;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

impl SessionCore {
    /// Has the session that holds this grant hold it in another mode, until then or for ever. `once`: one try is
    /// wanted, and no more.
    pub(in crate::engine::session) fn convert(
        &mut self,
        lock_id: &LockId,
        grant: Ticket,
        to: Mode,
        (until, once): (Option<Instant>, bool),
        now: Now,
    ) {
        let session = self.grants.session_of(grant);
        let Some(handle) = session.and_then(|id| self.handles.get_mut(id)) else {
            // The loss has been reported.
            return;
        };
        // From now on it may have the stronger one.
        if to == Mode::Exclusive {
            handle.change_mode(&lock_id.key, to);
        }
        self.conversions.add(grant, to, (until, once), now.clock);
    }

    /// The caller does not want it any more.
    pub(in crate::engine::session) fn stop_convert(&mut self, grant: Ticket) {
        if self.conversions.stop(grant) {
            self.stays_as_it_is(grant, Stays::BusyElsewhere);
        }
    }

    /// Gives each session what it is to be asked now.
    pub(super) fn deal_out_conversions(&mut self, clock: Instant) {
        for grant in self.conversions.due(clock) {
            let Some(held) = self.grants.get(grant) else {
                self.conversions.forget(grant);
                continue;
            };
            let handle = self.handles.get_mut(held.session);
            // The server counts how often it has the key: all else of it goes back first.
            let Some(handle) = handle.filter(|handle| handle.has_once(&held.lock_id.key)) else {
                self.conversions.put_off(grant, clock);
                continue;
            };
            if let Some(Wanted { to, until, slice }) = self.conversions.ask(grant) {
                let lock_id = held.lock_id.clone();
                handle.convert(Conversion { grant, lock_id, to, until, slice });
            }
        }
    }

    /// What became of a change of mode that was to wait this long, and was asked then.
    pub(super) fn converted(
        &mut self,
        id: SessionId,
        Conversion { grant, to, .. }: Conversion,
        (time, sent): (Duration, Time),
        end: Result<Waited>,
        now: Now,
    ) {
        if self.grants.get(grant).is_none() || self.handles.get(id).is_none() {
            self.conversions.forget(grant);
            return;
        }
        let why = match end {
            Ok(Waited::Granted) => {
                self.conversions.forget(grant);
                if let Some(key) = self.grants.change_mode(grant, to) {
                    if let Some(handle) = self.handles.get_mut(id) {
                        handle.change_mode(&key.key, to);
                    }
                    self.report(Event::Converted { grant, key });
                }
                return;
            }
            Ok(Waited::Busy) => {
                // A server may count in larger units than ours.
                let waited = !time.is_zero() && now.time.since(sent) >= time / 2;
                if self.conversions.refused(grant, waited, now.clock) {
                    return;
                }
                Stays::BusyElsewhere
            }
            Ok(Waited::Deadlock) => Stays::Deadlock,
            Err(error) => {
                self.health.note(error);
                Stays::Failed
            }
        };
        self.conversions.forget(grant);
        self.stays_as_it_is(grant, why);
    }

    fn stays_as_it_is(&mut self, grant: Ticket, why: Stays) {
        if let Some(held) = self.grants.get(grant)
            && let Some(handle) = self.handles.get_mut(held.session)
        {
            handle.change_mode(&held.lock_id.key, held.lock_id.mode);
        }
        self.report(Event::Unconverted { grant, why });
    }
}
