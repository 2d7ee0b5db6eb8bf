//! A few cases that a reader should see by themselves, and some that the checker must object to.

use crate::engine::lock_table::{Action, Event, Refusal, Table, Ticket};

use super::ledger::Ledger;
use super::model_id::ModelId;

const KEY: ModelId = ModelId { key: 0, shared: false };

/// A table whose every answer is checked.
#[derive(Default)]
pub(crate) struct Checked(pub(crate) Table<ModelId>, pub(crate) Ledger);

impl Checked {
    pub(crate) fn step(&mut self, event: Event<ModelId>) -> Vec<Action<ModelId>> {
        let mut actions = Vec::new();
        self.0.step(event.clone(), false, &mut actions);
        self.1.check(&event, &actions);
        actions
    }

    fn acquire(&mut self, request: u64) -> Vec<Action<ModelId>> {
        self.step(Event::Acquire { request, key: KEY, patient: true, budget_spent: false })
    }

    /// Somebody waits in the database, with this ticket.
    fn waiting(&mut self) -> Ticket {
        self.acquire(1);
        match self.step(Event::Refused { key: KEY, ticket: 1 })[..] {
            [Action::Wait { ticket, .. }] => ticket,
            ref other => panic!("{other:?}"),
        }
    }
}

#[test]
fn whose_time_is_up_may_still_be_granted() {
    let mut table = Checked::default();
    let ticket = table.waiting();
    let cancel = table.step(Event::Expire { request: 1 });
    assert_eq!(cancel, [Action::Cancel { key: KEY, ticket }]);
    let granted = table.step(Event::Granted { key: KEY, ticket });
    assert_eq!(granted, [Action::Grant { key: KEY, grant: ticket, request: 1, hold: 1 }]);
}

#[test]
fn whose_time_is_up_goes_at_once_while_others_wait() {
    let mut table = Checked::default();
    table.waiting();
    table.acquire(2);
    let why = Refusal::TimedOutElsewhere;
    assert_eq!(table.step(Event::Expire { request: 1 }), [Action::Refuse { request: 1, why }]);
}

#[test]
fn a_try_is_refused_while_others_wait() {
    let mut table = Checked::default();
    table.waiting();
    let refused =
        table.step(Event::Acquire { request: 2, key: KEY, patient: false, budget_spent: false });
    assert_eq!(refused, [Action::Refuse { request: 2, why: Refusal::BusyElsewhere }]);
}

#[test]
fn what_nobody_wants_any_more_goes_back() {
    let mut table = Checked::default();
    let ticket = table.waiting();
    table.step(Event::Abandon { request: 1 });
    let granted = table.step(Event::Granted { key: KEY, ticket });
    assert_eq!(
        granted,
        [Action::Unlock { key: KEY, grant: ticket, ticket: ticket + 1, hold: None }]
    );
    table.step(Event::Unlocked { key: KEY, ticket: ticket + 1, clean: true });
    assert!(table.0.is_empty());
}

#[test]
fn an_answer_to_an_old_question_grants_nothing() {
    let mut table = Checked::default();
    table.waiting();
    let distrust = table.step(Event::Granted { key: KEY, ticket: 1 });
    assert_eq!(distrust, [Action::DiscardSession { key: KEY, ticket: 1 }]);
}

#[test]
fn after_eight_hand_offs_others_have_their_turn() {
    let mut table = Checked::default();
    (1..=10).for_each(|request| drop(table.acquire(request)));
    table.step(Event::Granted { key: KEY, ticket: 1 });
    for hold in 1..=8 {
        let handed = table.step(Event::Release { hold, budget_spent: false });
        let next = Action::Grant { key: KEY, grant: 1, request: hold + 1, hold: hold + 1 };
        assert_eq!(handed, [Action::MarkReleased { hold, clean: true }, next]);
    }
    let back = table.step(Event::Release { hold: 9, budget_spent: false });
    assert_eq!(back, [Action::Unlock { key: KEY, grant: 1, ticket: 2, hold: Some(9) }]);
}

#[test]
fn what_is_lost_is_asked_for_again() {
    let mut table = Checked::default();
    table.acquire(1);
    table.acquire(2);
    table.step(Event::Granted { key: KEY, ticket: 1 });
    let lost = table.step(Event::Lost { key: KEY, grant: 1 });
    assert_eq!(lost, [Action::Lose { hold: 1 }, Action::Try { key: KEY, ticket: 2 }]);
    assert_eq!(table.step(Event::Release { hold: 1, budget_spent: false }), []);
}

#[test]
#[should_panic(expected = "it answers nothing that is asked")]
fn the_checker_objects_to_a_grant_by_an_old_answer() {
    let mut table = Checked::default();
    table.waiting();
    let grant = Action::Grant { key: KEY, grant: 1, request: 1, hold: 1 };
    table.1.check(&Event::Granted { key: KEY, ticket: 1 }, &[grant]);
}

#[test]
#[should_panic(expected = "granted past the first in line")]
fn the_checker_objects_to_a_grant_out_of_turn() {
    let mut table = Checked::default();
    let ticket = table.waiting();
    table.acquire(2);
    let grant = Action::Grant { key: KEY, grant: ticket, request: 2, hold: 1 };
    table.1.check(&Event::Granted { key: KEY, ticket }, &[grant]);
}

#[test]
#[should_panic(expected = "waits on for nobody")]
fn the_checker_objects_to_a_wait_for_nobody() {
    let mut table = Checked::default();
    table.waiting();
    table.1.check(&Event::Abandon { request: 1 }, &[]);
}

/// It comes beside a wait for the same key, and goes back without passing to who waits here.
#[test]
fn what_is_adopted_passes_to_nobody_but_by_the_database() {
    let mut table = Checked::default();
    let wait = table.waiting();
    let Checked(mut table, _) = table;
    let grant = table.ticket();
    let mut step = |event| {
        let mut actions = Vec::new();
        table.step(event, false, &mut actions);
        actions
    };
    let adopted = step(Event::Adopted { key: KEY, ticket: grant, request: 9 });
    assert_eq!(adopted, [Action::Grant { key: KEY, grant, request: 9, hold: 1 }]);
    let released = step(Event::Release { hold: 1, budget_spent: false });
    let [Action::Unlock { grant: unlocked, ticket, hold: Some(1), .. }] = released[..] else {
        panic!("{released:?}")
    };
    assert_eq!(unlocked, grant);
    let over = step(Event::Unlocked { key: KEY, ticket, clean: true });
    assert_eq!(over, [Action::MarkReleased { hold: 1, clean: true }]);
    let next = step(Event::Granted { key: KEY, ticket: wait });
    assert_eq!(next, [Action::Grant { key: KEY, grant: wait, request: 1, hold: 2 }]);
    assert!(!table.is_empty());
}
