//! A session for questions about locks: who holds, who waits, what is wrong with the set-up.
//!
//! They do not travel with locks: the answer to one can be long, and whoever tries, renews or
//! releases meanwhile would wait for it. The session is opened for the first question and closed
//! after a rest. It counts as one of `max_sessions`, and is not opened in the place of one that a
//! key could be waited for on. Where it cannot be had, what a person asks goes to the session that
//! carries the locks, and the search for a holder is left out.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::core::SessionEvent;
use super::job::Question;
use super::task::ask;
use crate::backend::SessionBackend;
use crate::clock::Time;
use crate::engine::unwind::catch_panic;
use crate::observe::{ObservedSession, Telemetry};

/// How long the session is kept for the next question.
const REST: Duration = Duration::from_secs(2);

type Questions = mpsc::UnboundedReceiver<Question>;

/// Runs the session: all that the desk knows of a backend.
pub(super) type Clerk =
    Box<dyn Fn(Questions, DeskReplies) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What the desk tells the engine.
pub(super) enum DeskNews {
    /// The server has answered what was sent then.
    Told { sent: Time },
    /// There was no session for this question.
    Unasked(Question),
}

type DeskReplies = mpsc::UnboundedSender<DeskNews>;

/// See the [module](self).
pub(super) struct Desk {
    clerk: Clerk,
    /// Its other end is gone when the session is.
    questions: Option<mpsc::UnboundedSender<Question>>,
    news: DeskReplies,
    /// Its sessions: one, and those that are ending.
    tasks: JoinSet<()>,
}

impl Desk {
    pub(super) fn new(clerk: Clerk, news: mpsc::UnboundedSender<DeskNews>) -> Self {
        Desk { clerk, questions: None, news, tasks: JoinSet::new() }
    }

    /// Sessions that it has open.
    pub(super) fn len(&self) -> usize {
        usize::from(self.questions.as_ref().is_some_and(|questions| !questions.is_closed()))
    }

    /// Asks on its session, or on a new one if there is room. Gives the question back if not.
    pub(super) fn ask(&mut self, question: Question, has_room: bool) -> Option<Question> {
        while self.tasks.try_join_next().is_some() {}
        let question = match &self.questions {
            Some(questions) => questions.send(question).err()?.0,
            None => question,
        };
        if !has_room {
            return Some(question);
        }
        let (questions, queue) = mpsc::unbounded_channel();
        self.tasks.spawn((self.clerk)(queue, self.news.clone()));
        let unsent = questions.send(question).err();
        self.questions = Some(questions);
        unsent.map(|unsent| unsent.0)
    }

    /// Closes its session.
    pub(super) fn close(&mut self) {
        self.questions = None;
    }

    /// Ends when its sessions have.
    pub(super) async fn closed(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// See [`run`]. `limit`: how long connecting may take.
pub(super) fn clerk<B: SessionBackend>(
    backend: &Arc<B>,
    limit: Duration,
    telemetry: Arc<Telemetry>,
) -> Clerk {
    let backend = Arc::clone(backend);
    Box::new(move |questions, tell| {
        let (backend, telemetry) = (Arc::clone(&backend), Arc::clone(&telemetry));
        Box::pin(run((backend, telemetry), limit, questions, tell))
    })
}

/// Answers questions until there is none for a while.
async fn run<B: SessionBackend>(
    (backend, telemetry): (Arc<B>, Arc<Telemetry>),
    limit: Duration,
    mut questions: Questions,
    tell: DeskReplies,
) {
    // Whoever is not answered is told by the dropped reply.
    let _ = catch_panic(async {
        let mut observed = ObservedSession::connecting(&telemetry);
        let Ok(Ok(mut session)) = timeout(limit, backend.open()).await else {
            // To be asked elsewhere: the server may have no connection left but those there are.
            questions.close();
            while let Some(question) = questions.recv().await {
                let _ = tell.send(DeskNews::Unasked(question));
            }
            return;
        };
        observed.is_open();
        while let Ok(Some(question)) = timeout(REST, questions.recv()).await {
            if !question.is_wanted() {
                continue;
            }
            // Whoever asked has been told before, that there is no answer.
            let Ok(asked) = timeout(limit, ask(&*backend, &mut session, question)).await else {
                return;
            };
            match asked {
                Ok(SessionEvent::Told { sent }) => drop(tell.send(DeskNews::Told { sent })),
                Ok(_) | Err(_) => return,
            }
        }
        // What comes now is asked on another one.
        questions.close();
        while let Some(question) = questions.recv().await {
            let _ = tell.send(DeskNews::Unasked(question));
        }
        backend.close(session).await;
    })
    .await;
}
