//! What must be true of one process's table, written down from what goes in and what comes out. It
//! knows nothing of how the table does it.

use std::array;
use std::collections::BTreeMap;

use crate::engine::lock_table::{Action, Event, GrantId, Ticket};

use super::model_id::{MODEL_IDS, ModelId};
use super::page::{Asked, HANDOFFS, Page};
use super::seen::rarity;

/// See the [module](self).
pub(crate) struct Ledger {
    pages: [Page; MODEL_IDS],
    /// The rare cases that it has met, and that nobody has taken yet.
    seen: Vec<&'static str>,
    last_ticket: Ticket,
    last_hold: GrantId,
    /// Holds that have not ended; `true` when their guard has gone.
    holds: BTreeMap<GrantId, (ModelId, bool)>,
}

impl Default for Ledger {
    fn default() -> Self {
        let mut lock_ids = ModelId::all();
        let shared = |_| lock_ids.next().is_some_and(|lock_id| lock_id.shared);
        let pages = array::from_fn(shared).map(|shared| Page { shared, ..Page::default() });
        let (seen, holds) = (Vec::new(), BTreeMap::new());
        Ledger { pages, seen, last_ticket: 0, last_hold: 0, holds }
    }
}

impl Ledger {
    pub(crate) fn is_empty(&self) -> bool {
        self.holds.is_empty() && self.pages.iter().all(Page::is_blank)
    }

    /// The rare cases that it has met since.
    pub(crate) fn take_seen(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.seen)
    }

    /// Compares what the table does at an event with what it must do.
    pub(crate) fn check(&mut self, event: &Event<ModelId>, actions: &[Action<ModelId>]) {
        let Some(lock_id) = self.model_id_of(event) else {
            return assert!(actions.is_empty(), "nobody knows of that any more");
        };
        let page = &mut self.pages[lock_id.index()];
        if page.fits(event) {
            page.take_in(event);
            if let Event::Release { hold, .. } = event {
                self.holds.insert(*hold, (lock_id, true));
            }
            for action in actions {
                self.seen.extend(rarity(&self.pages[lock_id.index()], event, action));
                self.follow(event, lock_id, action);
            }
            self.pages[lock_id.index()].complete(event);
        } else {
            let expected = match *event {
                Event::Granted { key, ticket }
                | Event::Refused { key, ticket }
                | Event::Ended { key, ticket }
                | Event::Unlocked { key, ticket, .. } => {
                    vec![Action::DiscardSession { key, ticket }]
                }
                _ => Vec::new(),
            };
            assert_eq!(actions, expected, "it answers nothing that is asked");
        }
        self.pages[lock_id.index()].consistent();
        self.all_have_an_end(lock_id);
    }

    /// A guard is out, or the end of its hold is on its way from the database.
    fn all_have_an_end(&self, lock_id: ModelId) {
        let page = &self.pages[lock_id.index()];
        let asked = match page.asked {
            Some((Asked::Unlock(hold), _)) => hold,
            _ => None,
        };
        let ending = |hold| asked == Some(hold) || page.asides.values().any(|h| *h == Some(hold));
        for (hold, (_, released)) in self.holds.iter().filter(|(_, (about, _))| *about == lock_id) {
            let open = if *released { ending(*hold) } else { page.holders.contains(hold) };
            assert!(open, "hold {hold} has no end");
        }
    }

    fn model_id_of(&self, event: &Event<ModelId>) -> Option<ModelId> {
        match event {
            Event::Expire { request } | Event::Overdue { request } | Event::Abandon { request } => {
                let waits = |page: &Page| page.line.iter().any(|c| c.request == *request);
                ModelId::all()
                    .zip(&self.pages)
                    .find(|(_, page)| waits(page))
                    .map(|(lock_id, _)| lock_id)
            }
            Event::Release { hold, .. } => self.holds.get(hold).map(|(lock_id, _)| *lock_id),
            Event::Acquire { key, .. }
            | Event::Granted { key, .. }
            | Event::Refused { key, .. }
            | Event::Ended { key, .. }
            | Event::Failed { key, .. }
            | Event::Unlocked { key, .. }
            | Event::Lost { key, .. } => Some(*key),
            Event::Convert { .. }
            | Event::Stay { .. }
            | Event::Converted { .. }
            | Event::Unconverted { .. } => panic!("modes do not change in this world"),
            Event::Adopted { .. } => panic!("no lock comes from outside in this world"),
        }
    }

    /// Writes an action down, if it is one that the event allows.
    fn follow(&mut self, event: &Event<ModelId>, lock_id: ModelId, action: &Action<ModelId>) {
        let page = &mut self.pages[lock_id.index()];
        match *action {
            Action::Try { key: about, ticket } | Action::Wait { key: about, ticket } => {
                assert_eq!(about, lock_id, "something else is asked for");
                assert!(lock_id.shared || page.grants.is_empty(), "what is held here is asked for");
                assert!(!page.line.is_empty(), "nobody wants what is asked for");
                page.beside = !page.holders.is_empty();
                let wait = matches!(action, Action::Wait { .. });
                let asked = if wait { Asked::Wait { cancelled: false } } else { Asked::Try };
                self.ask(lock_id, asked, ticket);
            }
            Action::Cancel { key: about, ticket } => {
                let wait = Asked::Wait { cancelled: false };
                assert_eq!(about, lock_id, "another wait is cancelled");
                assert_eq!(page.asked, Some((wait, ticket)), "there is no such wait to cancel");
                assert!(page.line.iter().all(|c| c.expired), "somebody still waits");
                page.asked = Some((Asked::Wait { cancelled: true }, ticket));
            }
            Action::Unlock { key: about, grant, ticket, hold } => {
                assert_eq!(about, lock_id, "something else is given back");
                self.give_back(event, lock_id, grant, ticket, hold);
            }
            Action::Grant { key: about, grant, request, hold } => {
                assert_eq!(about, lock_id, "something else is granted");
                assert_eq!(page.grants, [grant], "granted by what the database has not granted");
                assert!(lock_id.shared || page.holders.is_empty(), "granted twice");
                assert!(hold > self.last_hold, "a hold's name is used again");
                let first = page.line.pop_front().map(|caller| caller.request);
                assert_eq!(first, Some(request), "granted past the first in line");
                match event {
                    Event::Granted { .. } => {}
                    // Only the database knows of writers elsewhere.
                    Event::Acquire { budget_spent: false, .. }
                        if lock_id.shared && page.was.is_none() => {}
                    Event::Release { budget_spent: false, .. } if !lock_id.shared => {
                        page.handoffs += 1
                    }
                    _ => panic!("nothing has happened that could grant"),
                }
                assert!(page.handoffs <= HANDOFFS, "others never have their turn");
                page.holders.push(hold);
                self.last_hold = hold;
                self.holds.insert(hold, (lock_id, false));
            }
            Action::Refuse { request, why } => {
                let found = page.line.iter().position(|caller| caller.request == request);
                let caller = found.and_then(|at| page.line.remove(at));
                let Some(caller) = caller else { panic!("answered somebody who does not wait") };
                let right = page.reason(event, &caller);
                assert_eq!(Some(why), right, "refused for no reason, or for another");
            }
            Action::MarkReleased { hold, clean } => {
                let ended = self.holds.remove(&hold);
                assert_eq!(ended, Some((lock_id, true)), "no released hold is settled");
                let surely = match (event, page.unlocked) {
                    (Event::Release { hold: gone, .. }, _) => (*gone == hold).then_some(true),
                    (Event::Unlocked { clean, .. }, Some(Some(gone))) if gone == hold => {
                        Some(*clean)
                    }
                    (Event::Failed { .. }, Some(Some(gone))) if gone == hold => Some(false),
                    _ => None,
                };
                assert_eq!(surely, Some(clean), "settled without a cause, or as the wrong kind");
            }
            Action::Lose { hold } => {
                assert!(matches!(event, Event::Lost { .. }), "nothing was lost");
                assert_eq!(self.holds.remove(&hold), Some((lock_id, false)), "not a hold to lose");
                assert!(page.holders.contains(&hold), "another hold is lost");
                page.holders.retain(|holder| *holder != hold);
            }
            Action::DiscardSession { .. } => panic!("the answer was right"),
            Action::Convert { .. }
            | Action::StopConvert { .. }
            | Action::Changed { .. }
            | Action::Unchanged { .. } => panic!("modes do not change in this world"),
        }
    }

    fn give_back(
        &mut self,
        event: &Event<ModelId>,
        lock_id: ModelId,
        grant: Ticket,
        ticket: Ticket,
        hold: Option<GrantId>,
    ) {
        let page = &mut self.pages[lock_id.index()];
        let kept = page.grants.iter().position(|held| *held == grant);
        let Some(kept) = kept else { panic!("what is given back is not held") };
        page.grants.remove(kept);
        let released = match *event {
            Event::Release { hold, .. } => {
                assert!(page.holders.is_empty(), "given back while others share it");
                Some(hold)
            }
            // Nobody wants it any more, or another one serves as well: that has the holders.
            Event::Granted { ticket, .. } => {
                assert_eq!(grant, ticket, "a grant that is held by is given back");
                let serves = !page.grants.is_empty() || page.line.is_empty();
                assert!(serves, "given back though somebody waits");
                None
            }
            _ => panic!("nothing has happened that could end a grant"),
        };
        assert_eq!(hold, released, "another hold is ended");
        if page.asked.is_none() && page.grants.is_empty() {
            self.ask(lock_id, Asked::Unlock(hold), ticket);
        } else {
            page.asides.insert(ticket, hold);
            self.ticket(ticket);
        }
    }

    fn ask(&mut self, lock_id: ModelId, asked: Asked, ticket: Ticket) {
        let page = &mut self.pages[lock_id.index()];
        assert_eq!(page.asked, None, "two questions for one lock_id");
        page.asked = Some((asked, ticket));
        self.ticket(ticket);
    }

    fn ticket(&mut self, ticket: Ticket) {
        assert!(ticket > self.last_ticket, "a ticket is used again");
        self.last_ticket = ticket;
    }
}
