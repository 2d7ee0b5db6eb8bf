//! What others than the engine want to know: one at a time, between two jobs of the engine.

use std::collections::VecDeque;

use super::action::{Question, QuestionId};

/// See the [module](self).
#[derive(Default)]
pub(super) struct Questions {
    queue: VecDeque<(QuestionId, Question)>,
    /// The last job was a question.
    asked: bool,
}

impl Questions {
    pub(super) fn add(&mut self, id: QuestionId, question: Question) {
        self.queue.push_back((id, question));
    }

    pub(super) fn are_none(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next one. After a question the others have their turn.
    pub(super) fn next(&mut self) -> Option<(QuestionId, Question)> {
        if std::mem::take(&mut self.asked) {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.asked = true;
        Some(next)
    }
}
