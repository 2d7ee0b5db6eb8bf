//! Those who share a lock, in cases that a reader should see by themselves.

use crate::engine::lock_table::{Action, Event, Refusal};

use super::directed::Checked;
use super::model_id::ModelId;

const KEY: ModelId = ModelId { key: 0, shared: true };
const OTHER: ModelId = ModelId { key: 1, shared: true };

fn acquire(request: u64, budget_spent: bool) -> Event<ModelId> {
    Event::Acquire { request, key: KEY, patient: true, budget_spent }
}

fn grant(grant: u64, request: u64) -> Action<ModelId> {
    // In these cases everybody is granted in the order in which they came.
    Action::Grant { key: KEY, grant, request, hold: request }
}

fn unlock(grant: u64, ticket: u64, hold: Option<u64>) -> Action<ModelId> {
    Action::Unlock { key: KEY, grant, ticket, hold }
}

/// Two share the key by grant 1, and a third one asks for it with ticket 2.
fn third_asks() -> Checked {
    let mut table = Checked::default();
    assert_eq!(table.step(acquire(1, true)), [Action::Try { key: KEY, ticket: 1 }]);
    assert_eq!(table.step(acquire(2, true)), []);
    let granted = table.step(Event::Granted { key: KEY, ticket: 1 });
    assert_eq!(granted, [grant(1, 1), grant(1, 2)]);
    assert_eq!(table.step(acquire(3, true)), [Action::Try { key: KEY, ticket: 2 }]);
    table
}

#[test]
fn who_comes_in_time_joins_and_the_last_gives_it_back() {
    let mut table = Checked::default();
    table.step(acquire(1, true));
    table.step(Event::Granted { key: KEY, ticket: 1 });
    assert_eq!(table.step(acquire(2, false)), [grant(1, 2)]);
    let first = table.step(Event::Release { hold: 1, budget_spent: true });
    assert_eq!(first, [Action::MarkReleased { hold: 1, clean: true }]);
    let last = table.step(Event::Release { hold: 2, budget_spent: false });
    assert_eq!(last, [unlock(1, 2, Some(2))]);
}

#[test]
fn one_grant_is_enough() {
    let mut table = third_asks();
    let second = table.step(Event::Granted { key: KEY, ticket: 2 });
    assert_eq!(second, [unlock(2, 3, None), grant(1, 3)]);
    // Meanwhile others may ask.
    assert_eq!(table.step(acquire(4, true)), [Action::Try { key: KEY, ticket: 4 }]);
    assert_eq!(table.step(Event::Unlocked { key: KEY, ticket: 3, clean: true }), []);
    assert_eq!(table.step(Event::Granted { key: KEY, ticket: 4 })[1], grant(1, 4));
}

#[test]
fn the_second_grant_stays_when_the_first_has_ended() {
    let mut table = third_asks();
    table.step(Event::Release { hold: 1, budget_spent: true });
    let aside = table.step(Event::Release { hold: 2, budget_spent: true });
    assert_eq!(aside, [unlock(1, 3, Some(2))]);
    assert_eq!(table.step(Event::Granted { key: KEY, ticket: 2 }), [grant(2, 3)]);
    let failed = table.step(Event::Failed { key: KEY, ticket: 3, fatal: false });
    assert_eq!(failed, [Action::MarkReleased { hold: 2, clean: false }]);
}

#[test]
fn it_is_lost_for_all_who_share_it() {
    let mut table = third_asks();
    assert_eq!(table.step(Event::Lost { key: KEY, grant: 7 }), []);
    let lost = table.step(Event::Lost { key: KEY, grant: 1 });
    assert_eq!(lost, [Action::Lose { hold: 1 }, Action::Lose { hold: 2 }]);
    assert_eq!(table.step(Event::Granted { key: KEY, ticket: 2 }), [grant(2, 3)]);
}

#[test]
fn who_is_in_line_waits_for_writers_elsewhere() {
    let mut table = third_asks();
    let wait = table.step(Event::Refused { key: KEY, ticket: 2 });
    assert_eq!(wait, [Action::Wait { key: KEY, ticket: 3 }]);
    // Whoever comes now is behind them, though it is shared here.
    assert_eq!(table.step(acquire(4, false)), []);
    let hasty = Event::Acquire { request: 5, key: KEY, patient: false, budget_spent: false };
    let busy = Action::Refuse { request: 5, why: Refusal::BusyElsewhere };
    assert_eq!(table.step(hasty), [busy]);
}

#[test]
fn a_try_in_line_is_not_made_to_wait() {
    let mut table = Checked::default();
    table.step(acquire(1, true));
    table.step(Event::Granted { key: KEY, ticket: 1 });
    table.step(Event::Release { hold: 1, budget_spent: true });
    table.step(acquire(2, true));
    table.step(Event::Acquire { request: 3, key: KEY, patient: false, budget_spent: true });
    let mut actions = Vec::new();
    let unlocked = Event::Unlocked { key: KEY, ticket: 2, clean: true };
    table.0.step(unlocked, true, &mut actions);
    assert_eq!(actions[1..], [Action::Try { key: KEY, ticket: 3 }]);
}

#[test]
fn an_unlock_of_something_else_ends_nothing() {
    let mut table = third_asks();
    table.step(Event::Granted { key: KEY, ticket: 2 });
    let wrong = table.step(Event::Unlocked { key: OTHER, ticket: 3, clean: true });
    assert_eq!(wrong, [Action::DiscardSession { key: OTHER, ticket: 3 }]);
    assert_eq!(table.step(Event::Unlocked { key: KEY, ticket: 3, clean: true }), []);
}

#[test]
#[should_panic(expected = "nothing has happened that could grant")]
fn the_checker_objects_to_a_reader_who_joins_too_late() {
    let mut table = Checked::default();
    table.step(acquire(1, true));
    table.step(Event::Granted { key: KEY, ticket: 1 });
    table.1.check(&acquire(2, true), &[grant(1, 2)]);
}

#[test]
#[should_panic(expected = "given back while others share it")]
fn the_checker_objects_to_an_unlock_under_others() {
    let mut table = third_asks();
    table.1.check(&Event::Release { hold: 1, budget_spent: true }, &[unlock(1, 3, Some(1))]);
}
