//! What must be true of one process's table, written down from what goes in and what comes out. It
//! knows nothing of how the table does it.

use std::collections::BTreeMap;

use dlock::engine::table::{Action, Event, HoldId, Ticket};

use super::page::{Asked, HANDOFFS, Page};
use super::seen::{Seen, rarity};
use super::server::{KEYS, Key};

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) pages: [Page; KEYS],
    pub(crate) seen: Seen,
    pub(crate) last_ticket: Ticket,
    pub(crate) last_hold: HoldId,
    /// Grants that have not ended; `true` when their guard has gone.
    grants: BTreeMap<HoldId, (Key, bool)>,
}

impl Ledger {
    pub(crate) fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.pages.iter().all(Page::is_blank)
    }

    /// Whether the event may be acted on.
    pub(crate) fn expects(&self, event: &Event<Key>) -> bool {
        self.key_of(event).is_some_and(|key| self.pages[usize::from(key)].fits(event))
    }

    /// Compares what the table does at an event with what it must do.
    pub(crate) fn check(&mut self, event: &Event<Key>, actions: &[Action<Key>]) {
        let Some(key) = self.key_of(event) else {
            return assert!(actions.is_empty(), "nobody knows of that any more");
        };
        let page = &mut self.pages[usize::from(key)];
        if page.fits(event) {
            page.take_in(event);
            if let Event::Release { hold, .. } = event {
                self.grants.insert(*hold, (key, true));
            }
            for action in actions {
                self.seen.extend(rarity(&self.pages[usize::from(key)], event, action));
                self.follow(event, key, action);
            }
            self.pages[usize::from(key)].complete(event);
        } else {
            let expected = match *event {
                Event::Granted { key, ticket }
                | Event::Refused { key, ticket }
                | Event::Ended { key, ticket }
                | Event::Unlocked { key, ticket, .. } => vec![Action::Distrust { key, ticket }],
                _ => Vec::new(),
            };
            assert_eq!(actions, expected, "it answers nothing that is asked");
        }
        self.pages[usize::from(key)].consistent();
        self.all_have_an_end(key);
    }

    /// A grant is out, or its end is on its way from the database.
    fn all_have_an_end(&self, key: Key) {
        let page = &self.pages[usize::from(key)];
        let ending = match page.asked {
            Some((Asked::Unlock(hold), _)) => hold,
            _ => None,
        };
        for (hold, (about, released)) in &self.grants {
            let open = if *released { ending } else { page.hold };
            assert!(*about != key || open == Some(*hold), "grant {hold} has no end");
        }
    }

    fn key_of(&self, event: &Event<Key>) -> Option<Key> {
        match event {
            Event::Expire { request } | Event::Overdue { request } | Event::Abandon { request } => {
                let waits = |page: &Page| page.line.iter().any(|c| c.request == *request);
                self.pages.iter().position(waits).and_then(|key| Key::try_from(key).ok())
            }
            Event::Release { hold, .. } => self.grants.get(hold).map(|(key, _)| *key),
            Event::Acquire { key, .. }
            | Event::Granted { key, .. }
            | Event::Refused { key, .. }
            | Event::Ended { key, .. }
            | Event::Failed { key, .. }
            | Event::Unlocked { key, .. }
            | Event::Lost { key } => Some(*key),
        }
    }

    /// Writes an action down, if it is one that the event allows.
    fn follow(&mut self, event: &Event<Key>, key: Key, action: &Action<Key>) {
        let page = &mut self.pages[usize::from(key)];
        match *action {
            Action::Try { key: about, ticket } | Action::Wait { key: about, ticket } => {
                assert_eq!(about, key, "another key is asked for");
                assert!(!page.ours, "what is held here is asked for");
                assert!(!page.line.is_empty(), "nobody wants what is asked for");
                let wait = matches!(action, Action::Wait { .. });
                let asked = if wait { Asked::Wait { cancelled: false } } else { Asked::Try };
                self.ask(key, asked, ticket);
            }
            Action::Cancel { key: about, ticket } => {
                let wait = Asked::Wait { cancelled: false };
                assert_eq!(about, key, "another key's wait is cancelled");
                assert_eq!(page.asked, Some((wait, ticket)), "there is no such wait to cancel");
                assert!(page.line.iter().all(|c| c.expired), "somebody still waits");
                page.asked = Some((Asked::Wait { cancelled: true }, ticket));
            }
            Action::Unlock { key: about, ticket, hold } => {
                assert_eq!(about, key, "another key is given back");
                assert!(page.ours && page.hold.is_none(), "what is given back is not free here");
                let released = match *event {
                    Event::Release { hold, .. } => Some(hold),
                    _ => None,
                };
                assert_eq!(hold, released, "another grant is ended");
                self.ask(key, Asked::Unlock(hold), ticket);
            }
            Action::Grant { key: about, request, hold } => {
                assert_eq!(about, key, "another key is granted");
                assert!(page.ours, "what the database has not granted is granted");
                assert_eq!(page.hold, None, "granted twice");
                assert!(hold > self.last_hold, "a grant's name is used again");
                let first = page.line.pop_front().map(|caller| caller.request);
                assert_eq!(first, Some(request), "granted past the first in line");
                match event {
                    Event::Granted { .. } => {}
                    Event::Release { spent: false, .. } => page.handoffs += 1,
                    _ => panic!("nothing has happened that could grant"),
                }
                assert!(page.handoffs <= HANDOFFS, "others never have their turn");
                (page.hold, self.last_hold) = (Some(hold), hold);
                self.grants.insert(hold, (key, false));
            }
            Action::Refuse { request, why } => {
                let found = page.line.iter().position(|caller| caller.request == request);
                let caller = found.and_then(|at| page.line.remove(at));
                let Some(caller) = caller else { panic!("answered somebody who does not wait") };
                let right = page.reason(event, &caller);
                assert_eq!(Some(why), right, "refused for no reason, or for another");
            }
            Action::Settle { hold, clean } => {
                let ended = self.grants.remove(&hold);
                assert_eq!(ended, Some((key, true)), "no released grant is settled");
                let surely = match (event, page.was) {
                    (Event::Release { hold: gone, .. }, _) => (*gone == hold).then_some(true),
                    (Event::Unlocked { clean, .. }, Some(Asked::Unlock(_))) => Some(*clean),
                    (Event::Failed { .. }, Some(Asked::Unlock(_))) => Some(false),
                    _ => None,
                };
                assert_eq!(surely, Some(clean), "settled without a cause, or as the wrong kind");
            }
            Action::Lose { hold } => {
                assert!(matches!(event, Event::Lost { .. }), "nothing was lost");
                assert_eq!(self.grants.remove(&hold), Some((key, false)), "not a grant to lose");
                assert_eq!(page.hold.take(), Some(hold), "another grant is lost");
            }
            Action::Distrust { .. } => panic!("the answer was right"),
        }
    }

    fn ask(&mut self, key: Key, asked: Asked, ticket: Ticket) {
        let page = &mut self.pages[usize::from(key)];
        assert_eq!(page.asked, None, "two questions for one key");
        assert!(ticket > self.last_ticket, "a ticket is used again");
        (page.asked, self.last_ticket) = (Some((asked, ticket)), ticket);
    }
}
