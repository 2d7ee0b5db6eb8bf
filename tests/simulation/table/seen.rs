//! What a simulation must have met: one that never comes to the rare cases proves nothing.

use crate::engine::lock_table::{Action, Event};

use super::model_id::ModelId;
use super::page::{Asked, HANDOFFS, Page};

/// The rare cases of what a table does.
pub(crate) const RARE: [&str; 21] = [
    "a cancelled wait ends",
    "a cancelled wait is granted to somebody",
    "a cancelled wait is granted to nobody",
    "a try is granted to nobody",
    "a wait is asked again after its slice",
    "a caller whose time was up is granted",
    "a lock is handed on for the last time",
    "a lock goes back though others wait",
    "a lock is lost",
    "an unlock fails",
    "an unlock is not clean",
    "a question fails for good",
    "a reader joins those who have it",
    "a reader asks beside those who have it",
    "readers are let in together",
    "a second grant goes back",
    "a second grant becomes the only one",
    "the last reader goes while the database is asked",
    "several lose it at once",
    "a grant is lost while the database is asked",
    "an unlock aside fails",
];

/// What is rare in this action, before it is written down.
pub(crate) fn rarity(
    page: &Page,
    event: &Event<ModelId>,
    action: &Action<ModelId>,
) -> Option<&'static str> {
    let cancelled = page.was == Some(Asked::Wait { cancelled: true });
    let aside = page.asked.is_some() || !page.holders.is_empty();
    let index = match (event, action) {
        (Event::Ended { .. }, Action::Refuse { .. }) if cancelled => 0,
        (Event::Granted { .. }, Action::Grant { .. })
            if page.line.front().is_some_and(|first| first.expired) =>
        {
            5
        }
        (Event::Granted { .. }, Action::Grant { .. }) if cancelled => 1,
        (Event::Granted { .. }, Action::Grant { .. }) if page.beside && page.holders.is_empty() => {
            16
        }
        (Event::Granted { .. }, Action::Grant { .. }) if !page.holders.is_empty() => 14,
        (Event::Granted { .. }, Action::Unlock { .. }) if aside => 15,
        (Event::Granted { .. }, Action::Unlock { .. }) if cancelled => 2,
        (Event::Granted { .. }, Action::Unlock { .. }) => 3,
        (Event::Ended { .. }, Action::Wait { .. }) => 4,
        (Event::Acquire { .. }, Action::Grant { .. }) => 12,
        (Event::Acquire { .. }, Action::Try { .. }) if aside => 13,
        (Event::Release { .. }, Action::Grant { .. }) if page.handoffs + 1 == HANDOFFS => 6,
        (Event::Release { .. }, Action::Unlock { .. }) if aside => 17,
        (Event::Release { .. }, Action::Unlock { .. }) if !page.line.is_empty() => 7,
        (_, Action::Lose { .. }) if page.asked.is_some() => 19,
        (_, Action::Lose { .. }) if page.holders.len() > 1 => 18,
        (_, Action::Lose { .. }) => 8,
        (Event::Failed { .. }, Action::MarkReleased { .. })
            if page.was.is_some() && page.asked.is_some() =>
        {
            20
        }
        (Event::Failed { .. }, Action::MarkReleased { .. }) => 9,
        (Event::Unlocked { .. }, Action::MarkReleased { clean: false, .. }) => 10,
        (Event::Failed { fatal: true, .. }, Action::Refuse { .. }) => 11,
        _ => return None,
    };
    Some(RARE[index])
}
