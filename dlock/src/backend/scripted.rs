//! `memory:` that fares as a test says: errors, panics, silence.
#![expect(clippy::panic, reason = "a driver that panics")]

use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::memory::{Memory, Session};
use super::{
    Answer, BackendInfo, BatchItem, LockView, Op, SessionLocks, SessionTag, SessionViews,
    SessionWaits, Waited,
};
use crate::engine::{Engine, Limits, Sessions, opens};
use crate::error::{Error, Result};
use crate::locker::Locker;
use crate::locker::core::Inner;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::spec::scheme::KeyScheme;
use crate::spec::wait::Wait;
use crate::status::Finding;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// The server says no, and the session lives.
    Fails,
    /// The connection ends.
    Ends,
    /// The driver panics.
    Panics,
    /// There is never an answer.
    Silent,
}

/// A call as the driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    /// What is to be taken, by name; the rest of the batch does not count.
    Batch(Vec<String>),
    /// A batch of orders to other sessions only.
    Orders,
    Wait(String),
    Held,
    Status,
    Check,
}

type Script = Box<dyn FnMut(&Call) -> Fate + Send>;

struct Inside {
    script: Script,
    calls: Vec<Call>,
}

/// See the [module](self).
#[derive(Clone)]
pub(crate) struct Scripted {
    url: &'static str,
    stops_waits: bool,
    inside: Arc<Mutex<Inside>>,
}

impl Scripted {
    /// A space of that URL, of which [`Memory`] has one too.
    pub(crate) fn new(url: &'static str) -> Self {
        let inside = Inside { script: Box::new(|_| Fate::Done), calls: Vec::new() };
        Scripted { url, stops_waits: true, inside: Arc::new(Mutex::new(inside)) }
    }

    /// The same, where a wait ends with its connection only.
    pub(crate) fn closing(url: &'static str) -> Self {
        Scripted { stops_waits: false, ..Scripted::new(url) }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on calls fare like this.
    pub(crate) fn script(&self, script: impl FnMut(&Call) -> Fate + Send + 'static) {
        self.inside().script = Box::new(script);
    }

    /// All calls since the last look.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.inside().calls)
    }

    /// A locker of it, with so many sessions at most.
    pub(crate) async fn locker(&self, sessions: u32) -> Result<Locker> {
        let limits = Limits {
            connect: Duration::from_secs(10),
            sessions,
            keys: 5000,
            slice: Duration::from_secs(30),
        };
        let backend = Arc::new(self.clone());
        let open = opens(move || Sessions::open(Arc::clone(&backend), limits, Arc::default()));
        let limit = (Duration::from_secs(10), "scripted");
        let (engine, mut opened) = Engine::start(None, limit, Arc::default(), None, false, open)?;
        opened.wait().await?;
        let about = BackendInfo {
            label: "scripted".into(),
            naming: Naming::Name,
            modes: &Mode::ALL,
            leases: None,
            fences: true,
            explain: Box::new(|_| String::new()),
        };
        Ok(Locker::from_inner(Inner {
            engine,
            about,
            scheme: KeyScheme::Dlock,
            namespace: "".into(),
            wait: Wait::For(Duration::from_secs(20)),
            retry_every: None,
            url: None,
        }))
    }

    async fn fate(&self, call: Call) -> Result<()> {
        let fate = {
            let mut inside = self.inside();
            let fate = (inside.script)(&call);
            inside.calls.push(call);
            fate
        };
        let source = |text: &str| Arc::from(Box::from(text));
        match fate {
            Fate::Done => Ok(()),
            Fate::Fails => {
                let source = source("no such character");
                Err(Error::backend("scripted", source))
            }
            Fate::Ends => {
                let source = source("connection reset");
                Err(Error::away("scripted", source))
            }
            Fate::Silent => pending().await,
            Fate::Panics => panic!("an answer that nobody expects"),
        }
    }

    fn memory(&self) -> Memory {
        Memory::new(self.url)
    }
}

impl SessionLocks for Scripted {
    type Session = Session;

    fn label(&self) -> &str {
        "scripted"
    }

    /// Unlike those of `memory:`, its sessions can be lost.
    fn session_ttl(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }

    fn modes(&self) -> &'static [Mode] {
        &Mode::ALL
    }

    async fn open(&self) -> Result<Session> {
        self.fate(Call::Open).await?;
        self.memory().open().await
    }

    fn tag(&self, session: &Session) -> SessionTag {
        self.memory().tag(session)
    }

    async fn batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let tried = ops.iter().filter_map(|op| op.what.tried());
        let tried: Vec<_> = tried.map(|lock_id| lock_id.key.to_string()).collect();
        let order = |op: &BatchItem| matches!(op.what, Op::Cancel(_) | Op::End(_));
        let orders = !ops.is_empty() && ops.iter().all(order);
        self.fate(if orders { Call::Orders } else { Call::Batch(tried) }).await?;
        self.memory().batch(session, ops, out).await
    }

    fn survives(&self, error: &Error) -> bool {
        matches!(error, Error::Backend { .. })
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        self.fate(Call::Held).await?;
        self.memory().held(session, lock_ids).await
    }

    async fn watch(&self, session: &mut Session) -> Error {
        self.memory().watch(session).await
    }

    async fn close(&self, session: Session) {
        self.memory().close(session).await;
    }
}

impl SessionWaits for Scripted {
    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        self.fate(Call::Wait(lock_id.key.to_string())).await?;
        self.memory().wait(session, lock_id, time).await
    }

    fn stops_waits(&self) -> bool {
        self.stops_waits
    }
}

impl SessionViews for Scripted {
    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        self.fate(Call::Status).await?;
        self.memory().status(session, of).await
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.fate(Call::Check).await?;
        self.memory().check(session).await
    }
}
