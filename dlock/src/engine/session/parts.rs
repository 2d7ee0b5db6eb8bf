//! Batches, and what becomes of one that fails.
//!
//! One bad key, or one right that is missing, fails the whole statement. So a batch that fails is
//! done in halves, until what fails is alone.

use tokio::time::Instant;

use std::time::Duration;

use super::core::SessionEvent;
use crate::backend::{Answer, BatchItem, Op, SessionBackend};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;

/// When so many have failed alone, one after the other, it is not about them.
const FAILURES_IN_A_ROW_MAX: u32 = 4;
/// So long others wait at most for the search: less than a session may be silent.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(1);

/// Does a batch on a session. An error ends the session. `again`: some of it is about what the
/// session holds already, and goes on holding. `answers` is a buffer: what is in it before and after means nothing.
pub(super) async fn batch<B: SessionBackend>(
    backend: &B,
    session: &mut B::Session,
    ops: &[BatchItem],
    again: bool,
    answers: &mut Vec<Answer>,
) -> Result<SessionEvent> {
    let sent = Time::now();
    answers.clear();
    let Err(error) = backend.batch(session, ops, answers).await else {
        return Ok(SessionEvent::Answered { answers: answers.drain(..).collect(), sent });
    };
    // Of what is held twice, a server does not say how often: an unlock might free what others
    // share.
    if !backend.survives(&error) || ops.is_empty() || again {
        return Err(error);
    }
    // Thousands of guards may hang on this session.
    let parts = Parts { backend, session, ops, answers: vec![None; ops.len()] };
    Ok(SessionEvent::Parts { answers: parts.search(error).await?, sent })
}

struct Parts<'a, B: SessionBackend> {
    backend: &'a B,
    session: &'a mut B::Session,
    ops: &'a [BatchItem],
    answers: Vec<Option<Result<Answer>>>,
}

impl<B: SessionBackend> Parts<'_, B> {
    /// Asks for all that can be had, now that this was the answer to the whole.
    async fn search(mut self, mut error: Error) -> Result<Vec<Result<Answer>>> {
        let all: Vec<usize> = (0..self.ops.len()).collect();
        self.undo(&all).await?;
        let rest: Vec<usize> = all.into_iter().filter(|i| self.answers[*i].is_none()).collect();
        // What was alone is not asked again.
        let mut todo = if rest.len() > 1 { halves(rest) } else { Vec::new() };
        let (begun, mut in_a_row) = (Instant::now(), 0);
        while let Some(part) = todo.pop() {
            if in_a_row >= FAILURES_IN_A_ROW_MAX || begun.elapsed() > SEARCH_TIME_MAX {
                break;
            }
            let ops: Vec<BatchItem> = part.iter().map(|i| self.ops[*i].clone()).collect();
            let mut answers = Vec::with_capacity(ops.len());
            match self.backend.batch(self.session, &ops, &mut answers).await {
                Ok(()) if answers.len() == part.len() => {
                    in_a_row = 0;
                    for (i, answer) in part.into_iter().zip(answers) {
                        self.answers[i] = Some(Ok(answer));
                    }
                }
                // As many answers as questions, or it is another session's.
                Ok(()) => return Err(error),
                Err(failed) if self.backend.survives(&failed) => {
                    error = failed;
                    self.undo(&part).await?;
                    if let [alone] = part[..] {
                        in_a_row += 1;
                        self.answers[alone] = Some(Err(error.clone()));
                    } else {
                        todo.extend(halves(part));
                    }
                }
                Err(fatal) => return Err(fatal),
            }
        }
        self.give_up_tokens().await?;
        Ok(self.answers.into_iter().map(|answer| answer.unwrap_or(Err(error.clone()))).collect())
    }

    /// Part of these may have been done before the error: what was taken is read back and let go,
    /// and so is what was to be let go.
    async fn undo(&mut self, part: &[usize]) -> Result<()> {
        let lock_id = |i: &usize| match &self.ops[*i].what {
            Op::Try(lock_id) | Op::TryFenced(lock_id) | Op::Unlock(lock_id) => {
                Some(lock_id.clone())
            }
            Op::Fence(_) | Op::Cancel(_) | Op::End(_) => None,
        };
        let lock_ids = part.iter().filter_map(lock_id).collect();
        self.release(lock_ids).await?;
        for i in part {
            if matches!(self.ops[*i].what, Op::Unlock(_)) {
                self.answers[*i] = Some(Ok(Answer::Yes));
            }
        }
        Ok(())
    }

    /// What was held before and has no token now goes, for its caller is to have both or neither.
    async fn give_up_tokens(&mut self) -> Result<()> {
        let ops = self.ops.iter().zip(&self.answers);
        let lock_ids = ops.filter_map(|(op, answer)| match (&op.what, answer) {
            (Op::Fence(lock_id), None | Some(Err(_))) => Some(lock_id.clone()),
            _ => None,
        });
        let lock_ids = lock_ids.collect();
        self.release(lock_ids).await
    }

    async fn release(&mut self, lock_ids: Vec<LockId>) -> Result<()> {
        if lock_ids.is_empty() {
            return Ok(());
        }
        let held = self.backend.held(self.session, &lock_ids).await?;
        let held = lock_ids.into_iter().zip(held).filter(|(_, held)| *held);
        let unlocks: Vec<BatchItem> =
            held.map(|(lock_id, _)| BatchItem { what: Op::Unlock(lock_id), ticket: 0 }).collect();
        if unlocks.is_empty() {
            return Ok(());
        }
        self.backend.batch(self.session, &unlocks, &mut Vec::new()).await
    }
}

/// The second one first: the other one is taken from the end.
fn halves(mut part: Vec<usize>) -> Vec<Vec<usize>> {
    let second = part.split_off(part.len() / 2);
    vec![second, part]
}
