//! Carries the table's decisions out on sessions of a database with locks of its own.
//!
//! One session, the carrier, takes all first tries and holds what they are granted: whatever is
//! asked while a batch is on its way goes out together with the next. A key that is refused there
//! is waited for in the database on a session that holds nothing; when it is granted, that session
//! holds this one key. A session that holds something never waits. As long as no session waits for
//! a key, it is tried again and again on the carrier; where there are more such keys than sessions,
//! those that wait take turns. So is one whose caller wants no statement to wait, or whose wait the
//! server has ended as a deadlock.
//!
//! Keys that are wanted with a fencing token are tried on a session of their own, the writer: a
//! token is written, and a write can wait for the disk or for a standby. Others' signs of life must
//! not: where there is no session for the write, it waits.
//!
//! [`core`] decides all this; here is what carries it out: the tasks of the sessions, the way back to
//! those who have asked something, the timer, and the clock, which is read once a turn.

mod core;
mod desk;
mod executor;
mod job;
mod parts;
mod task;
mod tasks;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant as StdInstant};

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

pub(crate) use self::core::Limits;
use self::core::{Action, Now, QuestionId, ServerTraits, SessionCore, SessionEvent, SessionId};
use self::desk::{Desk, DeskNews, clerk};
use self::job::{Order, Question};
use self::task::{Dialer, dialer};
use self::tasks::SessionTasks;
use super::executor::{Executor as _, Report};
use super::map::Map;
use super::source::{Source, WaitingTask};
use super::timer::Timer;
use crate::backend::{BatchItem, SessionBackend};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::observe::Telemetry;
use crate::spec::mode::Mode;

/// How long the server has when we close to answer what it need not wait for, before another session is
/// asked.
const PROMPT: Duration = Duration::from_secs(1);
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(3);

/// See the [module](self).
pub(crate) struct Sessions {
    core: SessionCore,
    /// When this turn of the loop began, if anybody has asked in it.
    turn: Cell<Option<Now>>,
    dialer: Dialer,
    sessions: SessionTasks,
    desk: Desk,
    /// Those that no session has been asked yet.
    questions: Map<QuestionId, Question>,
    last_question: QuestionId,
    reports: Vec<Report>,
    /// What limits the locks of the server.
    locks_setting: Option<&'static str>,
    check_conversion: CheckConversion,
    timer: Timer,
    news: mpsc::UnboundedReceiver<DeskNews>,
    /// Polls `news`.
    news_source: Source,
    task: WaitingTask,
}

/// An error where the database has no such change of a lock's mode.
type CheckConversion = Box<dyn Fn(Mode, Mode) -> Result<()> + Send>;

impl Sessions {
    /// Opens the first session.
    pub(crate) async fn open<B: SessionBackend>(
        backend: Arc<B>,
        limits: Limits,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self> {
        backend.preflight().await?;
        let (tell, news) = mpsc::unbounded_channel();
        let task = WaitingTask::default();
        let (label, rng, now) = (backend.label().into(), fastrand::Rng::new(), read_clock());
        let mut this = Sessions {
            core: SessionCore::new(label, traits_of(&*backend), limits, rng, now),
            turn: Cell::new(None),
            dialer: dialer(&backend, limits.connect, &telemetry),
            sessions: SessionTasks::default(),
            desk: Desk::new(clerk(&backend, limits.connect, telemetry), tell),
            questions: Map::default(),
            last_question: 0,
            reports: Vec::new(),
            locks_setting: backend.locks_setting(),
            check_conversion: {
                let backend = Arc::clone(&backend);
                Box::new(move |from, to| backend.check_conversion(from, to))
            },
            timer: Timer::default(),
            news,
            news_source: task.source(),
            task,
        };
        this.core.connect(now);
        this.carry_out();
        match this.sessions.run().await {
            (_, SessionEvent::Died(error)) => Err(error),
            (id, event) => {
                this.on_event(id, event);
                this.core.look_ahead(this.now());
                this.turn.set(None);
                Ok(this)
            }
        }
    }

    /// When this turn began.
    fn now(&self) -> Now {
        let now = self.turn.get().unwrap_or_else(read_clock);
        self.turn.set(Some(now));
        now
    }

    /// A session tells something.
    fn on_event(&mut self, id: SessionId, event: SessionEvent) {
        log(&event);
        self.core.note_elsewhere(self.desk.len());
        self.core.on_event(id, event, self.now());
        self.carry_out();
    }

    /// Takes in what sessions tell and what the clock asks for. Ready: something has come of it.
    fn poll_news(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.turn.set(None);
        if !self.reports.is_empty() {
            return Poll::Ready(());
        }
        self.core.told();
        let wake = self.core.next_wake();
        ready!(self.poll_sources(cx, wake));
        if wake.is_some_and(|at| at <= self.now().clock) {
            self.core.note_elsewhere(self.desk.len());
            self.core.tick(self.now());
            self.carry_out();
        }
        Poll::Ready(())
    }

    fn poll_sources(&mut self, cx: &Context<'_>, wake: Option<StdInstant>) -> Poll<()> {
        if let Poll::Ready((id, event)) = self.sessions.poll(cx) {
            self.on_event(id, event);
            while let Some((id, event)) = self.sessions.take_event() {
                self.on_event(id, event);
            }
            return Poll::Ready(());
        }
        self.task.note(cx.waker());
        if let Poll::Ready(Some(news)) = self.news_source.poll(|cx| self.news.poll_recv(cx)) {
            self.on_news(news);
            return Poll::Ready(());
        }
        self.timer.poll(cx, wake.map(Instant::from_std))
    }

    fn on_news(&mut self, news: DeskNews) {
        match news {
            DeskNews::Told { sent } => self.core.answered_elsewhere(sent),
            DeskNews::Unasked(question) => self.query_here(question),
        }
    }

    /// Carries out what the core has decided.
    fn carry_out(&mut self) {
        if self.core.is_done() {
            return;
        }
        let mut actions = self.core.take_actions();
        actions.drain(..).for_each(|action| self.act(action));
        self.core.give_back(actions);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { session, validity } => {
                let dialer = &self.dialer;
                self.sessions.start(session, |jobs, events| dialer(validity, jobs, events));
            }
            Action::Send { session, job } => {
                let find = |question| self.questions.remove(&question);
                if let Some(job) = job.with_question(find) {
                    self.sessions.send(session, Order::Do(job));
                }
            }
            Action::Close { session } => self.sessions.send(session, Order::Close),
            Action::Drop { session } => self.sessions.abort(session),
            Action::CloseDesk => self.desk.close(),
            Action::Fail { question } => {
                if let Some(question) = self.questions.remove(&question) {
                    question.fail(&self.core.trouble());
                }
            }
            Action::Report(report) => self.reports.push(report),
            Action::LogDeadlock { lock_id } => {
                tracing::debug!(target: "dlock", key = %lock_id,
                    "the server has ended the wait as a deadlock; going on by tries");
            }
        }
    }

    /// Has this answered, as far as that is in nobody's way.
    fn query_server(&mut self, question: Question) {
        self.core.note_elsewhere(self.desk.len());
        let has_room = self.core.has_room_for_desk(self.now());
        if let Some(question) = self.desk.ask(question, has_room) {
            self.query_here(question);
        }
    }

    /// The same where the desk has no session.
    fn query_here(&mut self, question: Question) {
        if !matches!(question, Question::Status { spare: true, .. }) {
            let id = self.keep(question);
            self.core.ask(id);
        }
    }

    fn keep(&mut self, question: Question) -> QuestionId {
        self.last_question += 1;
        self.questions.insert(self.last_question, question);
        self.last_question
    }
}

/// How all sessions end.
impl Sessions {
    async fn close_all(mut self) {
        self.desk.close();
        let deadline = Instant::now() + CLOSE;
        self.end_deaf(deadline).await;
        self.core.close_all(read_clock());
        self.carry_out();
        let _ = timeout_at(deadline, self.sessions.run_to_the_end()).await;
        let _ = timeout_at(deadline, self.desk.closed()).await;
    }

    /// Ends the sessions that would not hear of their end.
    async fn end_deaf(&mut self, deadline: Instant) {
        let ends = self.core.end_of_deaf(read_clock());
        if ends.is_empty() {
            return;
        }
        let prompt = deadline.min(Instant::now() + PROMPT);
        if self.end_by(ends.clone(), prompt).await {
            return;
        }
        // The session that was to do it may be as dead as those that wait: one more tells the server.
        let others = self.core.set_aside(read_clock());
        self.carry_out();
        self.end_by(ends, deadline).await;
        self.core.bring_back(others);
    }

    /// Returns `true` if the server has answered these orders in time.
    async fn end_by(&mut self, ends: Vec<BatchItem>, deadline: Instant) -> bool {
        self.core.order(ends);
        let mut reports = Vec::new();
        loop {
            self.flush();
            if self.core.has_ended() {
                return true;
            }
            if timeout_at(deadline, self.recv(&mut reports)).await.is_err() {
                return false;
            }
            reports.clear();
        }
    }
}

fn read_clock() -> Now {
    Now { clock: Instant::now().into_std(), time: Time::now() }
}

fn traits_of<B: SessionBackend>(backend: &B) -> ServerTraits {
    ServerTraits {
        session_ttl: backend.session_ttl(),
        heartbeat: backend.heartbeat(),
        readers: backend.modes().len() > 1,
        stops_waits: backend.stops_waits(),
        conversion_wait_max: backend.conversion_wait_max(),
    }
}

fn log(event: &SessionEvent) {
    let note = |error: &Error| tracing::debug!(target: "dlock", %error, "session ended");
    match event {
        SessionEvent::Died(error) => note(error),
        SessionEvent::Parts { answers, .. } => {
            answers.iter().filter_map(|answer| answer.as_ref().err()).for_each(note);
        }
        _ => {}
    }
}
