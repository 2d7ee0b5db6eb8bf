//! The lockers of a process, and its journal.

use std::sync::{Arc, Mutex, PoisonError};

use dlock::{Error, Locker};
use dlock_tests::Site;
use dlock_tests::random::{Journal, LockerPlan, Outcome, Process, What};
use tokio::runtime::{Builder, Runtime};

/// What all tasks of a process share.
pub(crate) struct Env {
    pub(crate) site: Site,
    pub(crate) journal: Arc<Journal>,
    lockers: Vec<Slot>,
    process: String,
}

struct Slot {
    label: String,
    locker: Mutex<Option<Locker>>,
    runtime: Mutex<Option<Runtime>>,
}

/// A locker, and what the journal calls it.
#[derive(Clone)]
pub(crate) struct On {
    pub(crate) locker: Locker,
    pub(crate) label: String,
}

impl Env {
    pub(crate) async fn connect(
        site: &Site,
        part: &Process,
        journal: &Arc<Journal>,
        kind: &str,
    ) -> Self {
        let process = format!("{kind}{}", std::process::id());
        let mut lockers = Vec::new();
        for (n, plan) in part.lockers.iter().enumerate() {
            let label = format!("{process}-l{n}");
            lockers.push(Slot::connect(site, plan, label).await);
        }
        Env { site: site.clone(), journal: Arc::clone(journal), lockers, process }
    }

    /// A locker by its number; `None` after it was closed.
    pub(crate) fn locker(&self, n: usize) -> Option<On> {
        let slot = self.lockers.get(n)?;
        let locker = lock(&slot.locker).clone()?;
        Some(On { locker, label: slot.label.clone() })
    }

    /// Another locker than that one, if there is one.
    pub(crate) fn beside(&self, label: &str) -> Option<On> {
        let all = || (0..self.lockers.len()).filter_map(|n| self.locker(n));
        all().find(|on| on.label != label).or_else(|| all().next())
    }

    /// A locker for one call alone.
    pub(crate) async fn solo(&self, call: &str) -> Result<On, Error> {
        let label = format!("{}-s{call}", self.process);
        let locker = self.site.builder().connect().await?;
        Ok(On { locker, label })
    }

    /// Closes a locker.
    pub(crate) async fn close(&self, n: usize) {
        let Some(slot) = self.lockers.get(n) else { return };
        let locker = lock(&slot.locker).take();
        if let Some(locker) = locker {
            self.close_one(On { locker, label: slot.label.clone() }).await;
        }
    }

    pub(crate) async fn close_one(&self, on: On) {
        self.journal.write(&on.label, &What::Closes);
        on.locker.close().await;
        self.journal.write(&on.label, &What::Closed);
    }

    pub(crate) async fn close_all(&self) {
        for n in 0..self.lockers.len() {
            self.close(n).await;
        }
    }

    /// Ends the runtime that a locker's engine is on.
    pub(crate) fn end_runtime(&self, n: usize) {
        let Some(slot) = self.lockers.get(n) else { return };
        if let Some(runtime) = lock(&slot.runtime).take() {
            self.journal.write(&slot.label, &What::Closes);
            // Dropped where blocking is allowed, and awaited.
            let _ = std::thread::spawn(move || drop(runtime)).join();
            self.journal.write(&slot.label, &What::Closed);
        }
    }
}

impl Slot {
    async fn connect(site: &Site, plan: &LockerPlan, label: String) -> Self {
        let mut builder = site.builder();
        if plan.sessions > 0 {
            builder = builder.max_sessions(plan.sessions);
        }
        let runtime = plan
            .runtime
            .then(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
        if let Some(runtime) = &runtime {
            builder = builder.runtime(runtime.handle().clone());
        }
        let locker = builder.connect().await.unwrap();
        Slot { label, locker: Mutex::new(Some(locker)), runtime: Mutex::new(runtime) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(lock(&self.locker).take());
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an error means to the journal.
pub(crate) fn outcome(error: &Error) -> Outcome {
    match error {
        Error::Timeout { stage, .. } => Outcome::Timeout(format!("{stage:?}")),
        error => {
            let kind = format!("{error:?}");
            let kind = kind.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            let source = std::error::Error::source(error).map(|source| format!(": {source}"));
            Outcome::Failed(kind.to_owned(), format!("{error}{}", source.unwrap_or_default()))
        }
    }
}
