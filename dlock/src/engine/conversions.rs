//! Guards that change the mode of their lock while they hold it: upgrades and downgrades.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::actor::Actor;
use super::callers::EngineDeadline;
use super::deadlines::GRACE;
use super::executor::{Executor, Reply};
use super::grant::Grant;
use super::lock_table::{Event, GrantId, Stays, Ticket};
use super::message::on_our_clock;
use super::server_query::this_process;
use crate::engine::call_deadline::Deadline;
use crate::error::{Error, Result};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::status::holder::{Holder, Stage};
use crate::status::lost::LostReason;

/// A change of mode that a caller waits for.
pub(crate) struct Conversion {
    /// The mode that is wanted.
    pub(crate) to: Mode,
    pub(crate) deadline: Deadline,
    pub(crate) reply: Reply<()>,
}

/// A change of mode that is under way.
pub(super) struct Converting {
    to: Mode,
    patient: bool,
    asked: Instant,
    until: Option<Instant>,
    /// Of its time, with what the database has for its last answer.
    alarm: Option<Instant>,
    /// `None`: whoever wanted it has gone, or has been told that there is no answer.
    reply: Option<Reply<()>>,
    /// What is wanted after it.
    next: Option<Conversion>,
}

impl Converting {
    fn new(wanted: Conversion) -> Self {
        let Conversion { to, deadline, reply } = wanted;
        let asked = on_our_clock(deadline.asked());
        let until = deadline.end().map(on_our_clock);
        let patient = deadline.is_patient();
        Converting { to, patient, asked, until, alarm: until, reply: Some(reply), next: None }
    }
}

impl<E: Executor> Actor<E> {
    /// Has a guard hold its lock in another mode.
    pub(super) fn convert(&mut self, hold: GrantId, wanted: Conversion) {
        let Some((held, (lock_id, _))) = self.callers.granted.held(hold) else {
            // Whoever asks has been told of the loss, or will be by the dropped reply.
            return;
        };
        let mode = lock_id.mode;
        let checked = self.executor.check_conversion(mode, wanted.to);
        if let Err(error) = checked.and_then(|()| check_alone(held)) {
            let _ = wanted.reply.send(Err(error));
            return;
        }
        if let Some(converting) = self.callers.granted.converting(hold) {
            // What its guard wanted before, and has given up, is to have its answer first.
            converting.next = Some(wanted);
            return;
        }
        if mode == wanted.to {
            let _ = wanted.reply.send(Ok(()));
            return;
        }
        let converting = Converting::new(wanted);
        let patient = converting.patient;
        self.deadlines.extend(converting.alarm.map(|at| (at, hold, EngineDeadline::Convert)));
        self.callers.granted.convert(hold, converting);
        self.step(Event::Convert { hold, patient }, LostReason::Closed);
    }

    /// The guard does not want its change of mode any more.
    pub(super) fn give_up_conversion(&mut self, hold: GrantId) {
        if let Some(converting) = self.callers.granted.converting(hold) {
            match converting.next.take() {
                // The earlier one has been given up already.
                Some(_) => return,
                None => converting.reply = None,
            }
            self.step(Event::Stay { hold }, LostReason::Closed);
        }
    }

    /// Asks the database for a change of mode.
    pub(super) fn ask_to_convert(&mut self, lock_id: &LockId, grant: Ticket, hold: GrantId) {
        let Some(Converting { to, patient, until, .. }) = self.callers.granted.converting(hold)
        else {
            let why = Stays::Failed;
            return self.step(Event::Unconverted { grant, why }, LostReason::Closed);
        };
        self.executor.convert(lock_id, grant, *to, until.filter(|_| *patient), *patient);
    }

    /// The database holds the lock in the mode that was wanted.
    pub(super) fn changed(&mut self, hold: GrantId, key: LockId) {
        self.callers.granted.change_lock_id(hold, key);
        self.conversion_ended(hold, |_, _| Ok(()));
    }

    /// The database goes on holding the lock as it did.
    pub(super) fn unchanged(&mut self, hold: GrantId, why: Stays) {
        let trouble = self.executor.trouble();
        self.conversion_ended(hold, |key, waited| match why {
            Stays::Deadlock => Err(Error::Deadlock { key }),
            Stays::Failed => Err(trouble.about(&key)),
            Stays::BusyElsewhere => {
                Err(Error::Timeout { key, waited, stage: Stage::Database, holder: None })
            }
            Stays::BusyHere => {
                let holder = Some(Box::new(Holder::new(this_process(), None)));
                Err(Error::Timeout { key, waited, stage: Stage::Process, holder })
            }
        });
    }

    fn conversion_ended(&mut self, id: GrantId, answer: impl FnOnce(Key, Duration) -> Result<()>) {
        let Some(converting) = self.callers.granted.take_converting(id) else { return };
        if let Some(at) = converting.alarm {
            self.deadlines.remove(&(at, id, EngineDeadline::Convert));
        }
        let hold = self.callers.granted.held(id).map(|(hold, _)| Arc::clone(hold));
        // Whose guard has gone meanwhile wants no answer.
        let Some(hold) = hold else { return };
        let waited = if converting.patient { converting.asked.elapsed() } else { Duration::ZERO };
        if let Some(reply) = converting.reply {
            let answer = answer(hold.key.clone(), waited);
            let _ = reply.send(answer);
        }
        if let Some(next) = converting.next {
            self.convert(id, next);
        }
    }

    /// The time of a change of mode is up; after a moment more, there is no answer.
    pub(super) fn conversion_is_late(&mut self, hold: GrantId) {
        let Some(converting) = self.callers.granted.converting(hold) else { return };
        let in_time = converting.patient && converting.alarm == converting.until;
        if in_time {
            let at = Instant::now() + GRACE;
            converting.alarm = Some(at);
            self.deadlines.insert((at, hold, EngineDeadline::Convert));
        } else {
            converting.alarm = None;
            if let Some(reply) = converting.reply.take() {
                let key = self.callers.granted.held(hold).map(|(hold, _)| hold.key.clone());
                let trouble = self.executor.trouble();
                let _ = reply.send(Err(key.map_or(Error::Closed, |key| trouble.about(&key))));
            }
        }
        self.step(Event::Stay { hold }, LostReason::Closed);
    }

    /// The guard's lock has ended, and with it whatever it was to become.
    pub(super) fn forget_conversion(&mut self, hold: GrantId) {
        if let Some(Converting { alarm: Some(at), .. }) = self.callers.granted.take_converting(hold)
        {
            self.deadlines.remove(&(at, hold, EngineDeadline::Convert));
        }
    }
}

/// An error if others have the lock by the same grant, whose mode would change with it.
pub(super) fn check_alone(hold: &Grant) -> Result<()> {
    if !hold.is_permit() && hold.has_one_guard() {
        return Ok(());
    }
    Err(Error::config(format!(
        "the mode of lock \"{}\" cannot change while others have it by the same grant: it is one of \
         several permits, or was taken again under itself; it is still held ({})",
        hold.key,
        hold.mode()
    )))
}
