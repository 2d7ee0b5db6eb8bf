//! What the engine's loop asks for, on its way to the core.

use std::future::poll_fn;

use tokio::time::Instant;

use super::Sessions;
use super::job::Question;
use crate::backend::LockView;
use crate::clock::Time;
use crate::engine::executor::{Contact, Executor, Reply, Report};
use crate::engine::grant::GrantInfo;
use crate::engine::lock_table::Ticket;
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::Finding;

impl Executor for Sessions {
    const KEEPS_MIN_HOLD: bool = false;
    const RECV_IS_RESUMED: bool = true;

    fn try_lock(&mut self, lock_id: LockId, ticket: Ticket, options: &LockOptions) {
        self.core.try_lock(lock_id, ticket, options.fenced);
    }

    fn wait(
        &mut self,
        lock_id: LockId,
        ticket: Ticket,
        until: Option<Instant>,
        options: &LockOptions,
    ) {
        self.core.wait(lock_id, ticket, until.map(Instant::into_std), options, self.now());
    }

    fn hand_over(&mut self, lock_id: &LockId, grant: Ticket, options: &LockOptions) {
        self.core.hand_over(lock_id, grant, options.fenced);
        self.carry_out();
    }

    fn most_keys(&self) -> usize {
        self.core.most_keys()
    }

    fn too_many_keys(&self) -> Error {
        Error::too_many_keys(self.core.label(), self.most_keys(), self.locks_setting)
    }

    fn can_wait(&self, options: &LockOptions) -> bool {
        self.core.can_wait(options, self.now())
    }

    fn cancel(&mut self, lock_id: &LockId, ticket: Ticket) {
        self.core.cancel(lock_id, ticket, self.now());
        self.carry_out();
    }

    fn unlock(&mut self, lock_id: LockId, grant: Ticket, ticket: Ticket) {
        self.core.unlock(lock_id, grant, ticket);
        self.carry_out();
    }

    fn discard_session(&mut self, _: &LockId, ticket: Ticket) {
        self.core.discard_session(ticket, self.now());
        self.carry_out();
    }

    fn held(&self, _: &LockId, grant: Ticket) -> Option<GrantInfo> {
        self.core.held(grant, self.now())
    }

    fn refresh(&mut self, _: &LockId, grant: Ticket) {
        self.core.refresh(grant, self.now());
        self.carry_out();
    }

    fn check_conversion(&self, from: Mode, to: Mode) -> Result<()> {
        (self.check_conversion)(from, to)
    }

    fn convert(
        &mut self,
        lock_id: &LockId,
        grant: Ticket,
        to: Mode,
        until: Option<Instant>,
        patient: bool,
    ) {
        let wait = (until.map(Instant::into_std), !patient);
        self.core.convert(lock_id, grant, to, wait, self.now());
    }

    fn stop_convert(&mut self, grant: Ticket) {
        self.core.stop_convert(grant);
        self.carry_out();
    }

    fn verify(&mut self, lock_id: &LockId, grant: Ticket, reply: Reply<bool>) {
        let question = self.keep(Question::Held(lock_id.clone(), reply));
        if !self.core.ask_holder(grant, question) {
            self.questions.remove(&question);
        }
    }

    fn status(&mut self, reply: Reply<Vec<LockView>>) {
        let own = self.core.own(|_| true);
        self.query_server(Question::Status { of: None, own, spare: false, reply });
    }

    fn look_up(&mut self, keys: Vec<NativeKey>, reply: Reply<Vec<LockView>>) {
        let own = self.core.own(|key| keys.contains(key));
        // Of several, all that there are: it is one question.
        let of = <[NativeKey; 1]>::try_from(keys).ok().map(|[key]| key);
        self.query_server(Question::Status { of, own, spare: true, reply });
    }

    fn break_lock(&mut self, key: NativeKey, reply: Reply<Vec<String>>) {
        self.query_server(Question::Break(key, reply));
    }

    fn check(&mut self, reply: Reply<Vec<Finding>>) {
        self.query_server(Question::Check(reply));
    }

    /// On the session that carries the locks: another one would have to be opened first.
    fn ping(&mut self, reply: Reply<()>) {
        self.query_here(Question::Ping(reply));
    }

    fn contact(&mut self, _: &LockId, since: Time) -> Contact {
        self.core.contact(since)
    }

    fn label(&self) -> Box<str> {
        self.core.label().into()
    }

    fn is_in_batch(&self) -> bool {
        self.core.is_in_batch()
    }

    fn new_turn(&mut self) {
        self.turn.set(None);
    }

    fn flush(&mut self) {
        self.core.note_elsewhere(self.desk.len());
        self.core.flush(self.now());
        self.carry_out();
        self.turn.set(None);
    }

    fn trouble(&self) -> Error {
        self.core.trouble()
    }

    async fn recv(&mut self, reports: &mut Vec<Report>) {
        poll_fn(|cx| self.poll_news(cx)).await;
        reports.append(&mut self.reports);
    }

    async fn shutdown(self) {
        self.close_all().await;
    }
}
