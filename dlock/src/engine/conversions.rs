//! Guards that change the mode of their lock while they hold it: upgrades and downgrades.

use std::sync::Arc;
use std::time::Duration;

use super::actor::Actor;
use super::callers::EngineDeadline;
use super::conversion::{Conversion, Converting, Late};
use super::deadlines::GRACE;
use super::executor::Executor;
use super::grant::Grant;
use super::lock_table::{Event, GrantId, Stays, Ticket};
use super::server_query::this_process;
use crate::error::{Error, Result};
use crate::spec::key::Key;
use crate::spec::lock_id::LockId;
use crate::status::holder::{Holder, Stage};
use crate::status::lost::LostReason;

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
            converting.then(wanted);
            return;
        }
        if mode == wanted.to {
            let _ = wanted.reply.send(Ok(()));
            return;
        }
        let converting = Converting::new(wanted);
        let patient = converting.is_patient();
        self.deadlines.extend(converting.alarm().map(|at| (at, hold, EngineDeadline::Convert)));
        self.callers.granted.convert(hold, converting);
        self.step(Event::Convert { hold, patient }, LostReason::Closed);
    }

    /// The guard does not want its change of mode any more.
    pub(super) fn give_up_conversion(&mut self, hold: GrantId) {
        if let Some(converting) = self.callers.granted.converting(hold) {
            // Else the earlier one has been given up already.
            if converting.give_up() {
                self.step(Event::Stay { hold }, LostReason::Closed);
            }
        }
    }

    /// Asks the database for a change of mode.
    pub(super) fn ask_to_convert(&mut self, lock_id: &LockId, grant: Ticket, hold: GrantId) {
        let Some(converting) = self.callers.granted.converting(hold) else {
            let why = Stays::Failed;
            return self.step(Event::Unconverted { grant, why }, LostReason::Closed);
        };
        let (to, until, patient) = (converting.to(), converting.until(), converting.is_patient());
        self.executor.convert(lock_id, grant, to, until, patient);
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
        if let Some(at) = converting.alarm() {
            self.deadlines.remove(&(at, id, EngineDeadline::Convert));
        }
        let hold = self.callers.granted.held(id).map(|(hold, _)| Arc::clone(hold));
        // Whose guard has gone meanwhile wants no answer.
        let Some(hold) = hold else { return };
        let answer = answer(hold.key.clone(), converting.waited());
        if let Some(next) = converting.end(answer) {
            self.convert(id, next);
        }
    }

    /// The time of a change of mode is up; after a moment more, there is no answer.
    pub(super) fn conversion_is_late(&mut self, hold: GrantId) {
        let Some(converting) = self.callers.granted.converting(hold) else { return };
        match converting.is_late(GRACE) {
            Late::Grace => {
                let alarm = converting.alarm().map(|at| (at, hold, EngineDeadline::Convert));
                self.deadlines.extend(alarm);
            }
            Late::NoAnswer(Some(reply)) => {
                let key = self.callers.granted.held(hold).map(|(hold, _)| hold.key.clone());
                let trouble = self.executor.trouble();
                let _ = reply.send(Err(key.map_or(Error::Closed, |key| trouble.about(&key))));
            }
            Late::NoAnswer(None) => {}
        }
        self.step(Event::Stay { hold }, LostReason::Closed);
    }

    /// The guard's lock has ended, and with it whatever it was to become.
    pub(super) fn forget_conversion(&mut self, hold: GrantId) {
        let converting = self.callers.granted.take_converting(hold);
        if let Some(at) = converting.and_then(|converting| converting.alarm()) {
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
