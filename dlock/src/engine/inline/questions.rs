//! What is asked of a locker for tests beside locks: about them, about modes, and hand-overs.

use std::sync::Arc;
use std::time::Instant;

use super::effects::Effects;
use super::entry::{HandedOver, end};
use super::space::{Space, TTL};
use crate::engine::conversion::Conversion;
use crate::engine::executor::{HandedOver as Answer, Reply};
use crate::engine::lock_table::GrantId;
use crate::engine::message::{Adoption, Message};
use crate::error::Error;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::Report;
use crate::status::lost::{LostInfo, LostReason};
use crate::status::rows::Row;
use crate::testing::What;

impl Space {
    /// Answers a question.
    pub(super) fn ask(&mut self, message: Message, now: Instant, effects: &mut Effects) {
        if matches!(message, Message::GiveUpConversion { .. } | Message::Keep { .. }) {
            return self.give_up_change(&message);
        }
        // The others' askers ask again after an error, and have looked for one before.
        let fails = matches!(
            message,
            Message::Convert { .. }
                | Message::Verify { .. }
                | Message::IntoToken { .. }
                | Message::Adopt(_)
        );
        if fails && let Some(error) = self.planned_failure() {
            if let Message::IntoToken { hold, .. } = &message {
                self.release(*hold, now, effects);
            }
            return effects.push(Box::new(move |_| message.fail(&error)));
        }
        match message {
            Message::Convert { hold, wanted } => self.change(hold, wanted, now, effects),
            Message::Verify { hold, reply } => {
                let held = self.holds.contains_key(&hold);
                answer(reply, held, effects);
            }
            Message::IntoToken { hold, owner, reply } => {
                self.hand_over(hold, owner, reply, now, effects);
            }
            Message::DropToken { key, owner } => {
                if let Some(entry) = self.keys.get_mut(&key) {
                    entry.handed_over.retain(|handed| handed.owner != owner);
                }
                self.serve(&key, now, effects);
            }
            Message::Adopt(adoption) => self.adopt(*adoption, now, effects),
            Message::Status(reply) => answer(reply, self.rows(now), effects),
            Message::Check(reply) => answer(reply, Report::default(), effects),
            Message::Break { key, reply } => {
                let holders = self.end_all(&key, now, effects);
                answer(reply, holders, effects);
            }
            Message::Prune { older_than, reply } => {
                answer(reply, self.prune(older_than, now), effects);
            }
            Message::Ping(reply) => answer(reply, (), effects),
            _ => {}
        }
    }

    fn rows(&self, now: Instant) -> Vec<Row> {
        let rows = self.keys.iter().map(|(native, entry)| Row {
            key: Some(entry.key.clone()),
            native: native.clone(),
            mode: entry.holdings.first().map_or(Mode::Exclusive, |holding| holding.hold.mode()),
            holders: entry.holders(now),
            waiters: entry.waiters(now),
        });
        rows.filter(|row| !row.holders.is_empty() || !row.waiters.is_empty()).collect()
    }

    /// Takes the key from whoever has it; who that was.
    fn end_all(&mut self, native: &NativeKey, now: Instant, effects: &mut Effects) -> Vec<String> {
        let Some(entry) = self.keys.get_mut(native) else { return Vec::new() };
        let holders = entry.holders(now).into_iter().map(|holder| holder.who).collect();
        entry.busy = None;
        entry.handed_over.clear();
        entry.kept_until = None;
        self.lose(native, now, effects);
        holders
    }

    /// Has a guard hold its lock in another mode.
    fn change(&mut self, id: GrantId, wanted: Conversion, now: Instant, effects: &mut Effects) {
        let entry = self.holds.get(&id).and_then(|native| self.keys.get_mut(native));
        // Whoever asks has been told of the loss.
        let Some(entry) = entry else { return };
        let holding = entry.holdings.iter().find(|holding| holding.hold.id == id);
        let Some(hold) = holding.map(|holding| Arc::clone(&holding.hold)) else { return };
        let refused = if let Err(error) = crate::engine::conversions::check_alone(&hold) {
            Some(error)
        } else if entry.is_free_for_change(id, wanted.to) {
            hold.set_mode(wanted.to);
            None
        } else if !entry.converting.is_empty() {
            Some(Error::Deadlock { key: entry.key.clone() })
        } else if wanted.deadline.is_patient() {
            return entry.converting.push((id, wanted));
        } else {
            return entry.refuse_change(wanted, std::time::Duration::ZERO, now, effects);
        };
        let native = self.holds.get(&id).cloned();
        effects.push(Box::new(move |_| drop(wanted.reply.send(refused.map_or(Ok(()), Err)))));
        native.into_iter().for_each(|native| self.serve(&native, now, effects));
    }

    /// Nobody waits for that change any more.
    fn give_up_change(&mut self, message: &Message) {
        if let Message::GiveUpConversion { hold } = message {
            let entries = self.keys.values_mut();
            entries.for_each(|entry| entry.converting.retain(|(id, _)| id != hold));
        }
    }

    /// Nobody holds it from now on, until somebody comes with the token.
    fn hand_over(
        &mut self,
        id: GrantId,
        owner: Arc<str>,
        reply: Reply<Answer>,
        now: Instant,
        effects: &mut Effects,
    ) {
        let native = self.holds.remove(&id);
        let entry = native.and_then(|native| self.keys.get_mut(&native));
        let Some(holding) = entry.and_then(|entry| {
            let holding = entry.take_out(id)?;
            let ttl = holding.hold.options().ttl.unwrap_or(TTL);
            let fence = holding.hold.fence;
            entry.handed_over.push(HandedOver { owner, fence, ends: end(now, ttl) });
            Some((holding.hold, Answer { fence, ttl }))
        }) else {
            // It is lost, which its guard knows.
            return effects.push(Box::new(move |_| drop(reply)));
        };
        let (hold, handed_over) = holding;
        self.note(What::Released, &hold.key.clone(), hold.mode(), now);
        effects.push(Box::new(move |_| {
            hold.mark_released();
            let _ = reply.send(Ok(handed_over));
        }));
    }

    fn adopt(&mut self, adoption: Adoption, now: Instant, effects: &mut Effects) {
        let Adoption { request, owner, fence, .. } = adoption;
        let native = request.lock_id.key.clone();
        let entry = self.entry(&native, &request.key);
        let is_it = |handed: &mut HandedOver| handed.owner == owner && handed.fence == fence;
        if entry.handed_over.extract_if(.., is_it).next().is_some() {
            return self.grant_with(&native, request, fence, now, effects);
        }
        let (key, reason) = (request.key.clone(), LostReason::NotHeld);
        let info = LostInfo { key, reason, held_for: std::time::Duration::ZERO };
        effects.push(Box::new(move |_| request.fail(info.into())));
    }
}

fn answer<T: Send + 'static>(reply: Reply<T>, answer: T, effects: &mut Effects) {
    effects.push(Box::new(move |_| drop(reply.send(Ok(answer)))));
}
