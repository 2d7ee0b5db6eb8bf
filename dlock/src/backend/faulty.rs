//! `memory:` with errors: what becomes of locks when a statement fails and the session lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::memory::{Memory, Session};
use super::{Do, Op, Seen, SessionBackend, Tag};
use crate::claim::Claim;
use crate::engine::table::Event;
use crate::engine::{Executor as _, Sessions};
use crate::error::{Error, Result};
use crate::mode::Mode;
use crate::native::NativeKey;
use crate::status::Finding;
use crate::terms::Terms;

struct Faulty {
    memory: Memory,
    /// Whether the next try fails.
    fails: Arc<AtomicBool>,
}

impl SessionBackend for Faulty {
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

    fn tag(&self, session: &Session) -> Tag {
        self.memory.tag(session)
    }

    async fn batch(&self, session: &mut Session, ops: &[Op], out: &mut Vec<bool>) -> Result<()> {
        let tries = ops.iter().any(|op| matches!(op.what, Do::Try(_)));
        if tries && self.fails.swap(false, Ordering::SeqCst) {
            let source = Arc::from(Box::from("no room for locks"));
            return Err(Error::Backend { backend: "memory".into(), source });
        }
        self.memory.batch(session, ops, out).await
    }

    async fn wait(&self, session: &mut Session, claim: &Claim, time: Duration) -> Result<bool> {
        self.memory.wait(session, claim, time).await
    }

    fn survives(&self, error: &Error) -> bool {
        self.memory.survives(error)
    }

    async fn held(&self, session: &mut Session, claims: &[Claim]) -> Result<Vec<bool>> {
        self.memory.held(session, claims).await
    }

    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<Seen>> {
        self.memory.status(session, of).await
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.memory.check(session).await
    }

    async fn watch(&self, session: &mut Session) -> Error {
        self.memory.watch(session).await
    }

    async fn close(&self, session: Session) {
        self.memory.close(session).await;
    }
}

/// With one session only, it is asked for what it has. If that fails, what was granted before is
/// either still held or reported lost.
#[tokio::test]
async fn failed_try_does_not_free_what_others_share() -> Result<()> {
    const URL: &str = "memory:faulty";
    let fails = Arc::new(AtomicBool::new(false));
    let faulty = Faulty { memory: Memory::new(URL), fails: Arc::clone(&fails) };
    let mut sessions = Sessions::open(faulty, 1, Duration::from_secs(30)).await?;
    let claim = Claim { key: NativeKey::Id(1), mode: Mode::Shared };
    let mut reports = Vec::new();
    for ticket in [1, 2] {
        fails.store(ticket == 2, Ordering::SeqCst);
        sessions.try_lock(claim.clone(), ticket, &Terms::default());
        sessions.flush();
        while !reports.iter().any(|report: &crate::engine::Report| {
            matches!(report.event, Event::Granted { ticket: t, .. } | Event::Failed { ticket: t, .. }
                if t == ticket)
        }) {
            sessions.recv(&mut reports).await;
            sessions.flush();
        }
    }
    let lost = reports.iter().any(|report| matches!(report.event, Event::Lost { grant: 1, .. }));
    let other = Memory::new(URL);
    let mut writer = other.open().await?;
    let wanted = Op { what: Do::Try(Claim::exclusive(claim.key)), ticket: 0 };
    let mut free = Vec::new();
    other.batch(&mut writer, &[wanted], &mut free).await?;
    assert!(lost || free == [false], "a writer has what readers think they have");
    Ok(())
}
