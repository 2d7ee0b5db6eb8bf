//! `memory:` with errors: what becomes of locks when a statement fails and the session lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::memory::{Memory, Session};
use super::{
    Answer, BatchItem, LockView, Op, SessionLocks, SessionTag, SessionViews, SessionWaits, Waited,
};
use crate::engine::lock_table::Event;
use crate::engine::{Executor as _, Limits, Report, Sessions};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use crate::status::Finding;

struct Faulty {
    memory: Memory,
    /// Whether the next try fails; one with a token does so when the lock is taken already.
    fails: Arc<AtomicBool>,
}

impl SessionLocks for Faulty {
    type Session = Session;

    fn label(&self) -> &str {
        self.memory.label()
    }

    fn session_ttl(&self) -> Option<Duration> {
        self.memory.session_ttl()
    }

    fn modes(&self) -> &'static [Mode] {
        self.memory.modes()
    }

    async fn open(&self) -> Result<Session> {
        self.memory.open().await
    }

    fn tag(&self, session: &Session) -> SessionTag {
        self.memory.tag(session)
    }

    async fn batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let fails = |op: &BatchItem| op.what.tried().is_some() || matches!(op.what, Op::Fence(_));
        let fails = ops.iter().any(fails) && self.fails.swap(false, Ordering::SeqCst);
        let done = ops.iter().any(|op| !matches!(op.what, Op::Try(_)));
        if !fails || done {
            self.memory.batch(session, ops, out).await?;
        }
        if fails {
            let source = Arc::from(Box::from("no room for locks, or for rows"));
            return Err(Error::backend("memory", source));
        }
        Ok(())
    }

    fn survives(&self, error: &Error) -> bool {
        self.memory.survives(error)
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        self.memory.held(session, lock_ids).await
    }

    async fn watch(&self, session: &mut Session) -> Error {
        self.memory.watch(session).await
    }

    async fn close(&self, session: Session) {
        self.memory.close(session).await;
    }
}

impl SessionWaits for Faulty {
    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        self.memory.wait(session, lock_id, time).await
    }
}

impl SessionViews for Faulty {
    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        self.memory.status(session, of).await
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.memory.check(session).await
    }
}

/// Sessions at work, without the table.
struct Bench {
    url: &'static str,
    fails: Arc<AtomicBool>,
    sessions: Sessions,
    reports: Vec<Report>,
}

impl Bench {
    async fn new(url: &'static str) -> Result<Self> {
        let fails = Arc::new(AtomicBool::new(false));
        let faulty = Faulty { memory: Memory::new(url), fails: Arc::clone(&fails) };
        let slice = Duration::from_secs(30);
        let limits = Limits { connect: Duration::from_secs(10), sessions: 1, keys: 9, slice };
        let sessions = Sessions::open(Arc::new(faulty), limits, Arc::default()).await?;
        Ok(Bench { url, fails, sessions, reports: Vec::new() })
    }

    fn fail_next(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    /// Until it is told what came of this ticket.
    async fn hear(&mut self, ticket: u64) -> Event<LockId> {
        let about = |report: &Report| match report.event {
            Event::Granted { ticket: t, .. } | Event::Failed { ticket: t, .. } => t == ticket,
            Event::Lost { grant, .. } => grant == ticket,
            _ => false,
        };
        loop {
            self.sessions.flush();
            if let Some(at) = self.reports.iter().position(about) {
                return self.reports.swap_remove(at).event;
            }
            self.sessions.recv(&mut self.reports).await;
        }
    }

    async fn take(
        &mut self,
        lock_id: &LockId,
        ticket: u64,
        options: &LockOptions,
    ) -> Event<LockId> {
        self.sessions.try_lock(lock_id.clone(), ticket, options);
        self.hear(ticket).await
    }

    /// Whether somebody else could have it.
    async fn is_free(&self, key: &NativeKey) -> Result<bool> {
        let other = Memory::new(self.url);
        let mut session = other.open().await?;
        let wanted = BatchItem { what: Op::Try(LockId::exclusive(key.clone())), ticket: 0 };
        let mut free = Vec::new();
        other.batch(&mut session, &[wanted], &mut free).await?;
        Ok(free == [Answer::Yes])
    }
}

/// With one session only, it is asked for what it has. If that fails, what was granted before is
/// either still held or reported lost.
#[tokio::test]
async fn failed_try_does_not_free_what_others_share() -> Result<()> {
    let mut bench = Bench::new("memory:faulty").await?;
    let lock_id = LockId { key: NativeKey::Id(1), mode: Mode::Shared };
    bench.take(&lock_id, 1, &LockOptions::default()).await;
    bench.fail_next();
    bench.take(&lock_id, 2, &LockOptions::default()).await;
    let lost = bench.reports.iter().any(|r| matches!(r.event, Event::Lost { grant: 1, .. }));
    let free = bench.is_free(&lock_id.key).await?;
    assert!(lost || !free, "a writer has what readers think they have");
    Ok(())
}

fn fenced() -> LockOptions {
    LockOptions { fenced: true, ..LockOptions::default() }
}

/// Taken, and then there is no token: nobody keeps it.
#[tokio::test]
async fn lock_whose_token_was_not_written_is_given_back() -> Result<()> {
    let mut bench = Bench::new("memory:faulty-token").await?;
    let lock_id = LockId::exclusive(NativeKey::Id(1));
    bench.fail_next();
    let event = bench.take(&lock_id, 1, &fenced()).await;
    assert!(matches!(event, Event::Failed { fatal: true, .. }), "{event:?}");
    assert!(!bench.sessions.trouble().is_retryable());
    assert!(bench.is_free(&lock_id.key).await?);
    let event = bench.take(&lock_id, 2, &fenced()).await;
    assert!(matches!(event, Event::Granted { .. }), "{event:?}");
    assert!(
        bench.sessions.trouble().is_retryable(),
        "what went wrong for others is not said twice"
    );
    Ok(())
}

/// The same where the lock was there before: of two locks, one goes and the other one stays.
#[tokio::test]
async fn lock_is_not_handed_on_without_a_token() -> Result<()> {
    let mut bench = Bench::new("memory:faulty-hand-over").await?;
    let (lock_id, other) =
        (LockId::exclusive(NativeKey::Id(1)), LockId::exclusive(NativeKey::Id(2)));
    for (ticket, lock_id) in [(1, &lock_id), (2, &other)] {
        bench.take(lock_id, ticket, &fenced()).await;
        bench.sessions.hand_over(lock_id, ticket, &fenced());
    }
    let held = |bench: &Bench| bench.sessions.held(&lock_id, 1);
    let token = held(&bench).and_then(|held| held.fence);
    assert!(token.is_some() && held(&bench).is_some_and(|held| held.fresh));
    // To the next holder.
    bench.sessions.hand_over(&lock_id, 1, &fenced());
    assert!(held(&bench).is_some_and(|held| !held.fresh && held.fence.is_none()));
    bench.fail_next();
    let event = bench.hear(1).await;
    assert!(matches!(event, Event::Lost { grant: 1, .. }), "{event:?}");
    assert!(held(&bench).is_none() && bench.is_free(&lock_id.key).await?);
    assert!(bench.sessions.held(&other, 2).is_some_and(|held| held.fence.is_some()));
    assert!(!bench.is_free(&other.key).await?);
    Ok(())
}
