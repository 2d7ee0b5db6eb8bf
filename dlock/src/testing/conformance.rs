//! Checks that a locker keeps the promises of dlock on your own set-up, such as a pooler, a proxy,
//! a fork of a database, or a key scheme. [`conformance`](conformance()) runs them.

mod checks;

use std::fmt::{self, Display};
use std::time::Duration;

use self::checks::{CHECKS, Space};
use crate::error::{Error, Result};
use crate::locker::Locker;

/// A check that takes longer than this has failed.
const CHECK_TIME_MAX: Duration = Duration::from_secs(60);

/// Runs all checks. `client` makes a locker. Each locker must be a separate client, as if in
/// another process, and all of them must use the same space of locks. `client` is called three
/// times, and the lockers are closed at the end. Checks for features that the backend lacks (shared
/// locks, tokens, …) are skipped.
///
/// The keys begin with `dlock-conformance/` and a random number. The checks take some seconds.
///
/// # Cancel safety
/// No lock stays held when the future is dropped.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use dlock::{Locker, testing::conformance};
///
/// conformance(async || Locker::connect("memory:docs-conformance").await).await.assert_ok();
/// # }
/// ```
pub async fn conformance(client: impl AsyncFn() -> Result<Locker>) -> Results {
    let clients = async { Ok::<_, Error>([client().await?, client().await?, client().await?]) };
    let [a, b, c] = match clients.await {
        Ok(clients) => clients,
        Err(error) => {
            let outcome = Outcome::Failed(error.to_string());
            return Results { checks: vec![Check { name: "clients_can_be_made", outcome }] };
        }
    };
    let space = Space::new([&a, &b, &c]);
    let mut results = Results { checks: Vec::new() };
    for (name, check) in CHECKS {
        let limit = a.core().engine().sleep(CHECK_TIME_MAX);
        let outcome = tokio::select! {
            biased;
            checked = check(&space) => checked.map_or_else(Outcome::from, |()| Outcome::Passed),
            _ = limit => Outcome::Failed(format!("it has not ended within {CHECK_TIME_MAX:?}")),
        };
        results.checks.push(Check { name, outcome });
    }
    for client in [a, b, c] {
        client.close().await;
    }
    results
}

/// The results of all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a failed check is in here: write `.assert_ok()`"]
pub struct Results {
    /// All checks, in the order in which they ran.
    pub checks: Vec<Check>,
}

impl Results {
    /// Returns `true` if no check has failed.
    pub fn is_ok(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Returns the checks that have failed.
    pub fn failed(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    /// Asserts that no check has failed. The message lists all that have failed.
    ///
    /// # Panics
    /// Panics if a check has failed.
    #[track_caller]
    #[expect(clippy::panic, reason = "to panic is what it is for")]
    pub fn assert_ok(&self) {
        if !self.is_ok() {
            let failed: String = self.failed().map(|check| format!("\n  {check}")).collect();
            panic!("this locker does not keep what dlock promises:{failed}");
        }
    }
}

/// Shows one line for each check.
impl Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, check) in self.checks.iter().enumerate() {
            write!(f, "{}{check}", if index > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

/// One check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The promise that was checked.
    pub name: &'static str,
    /// The outcome of the check.
    pub outcome: Outcome,
}

/// Shows one line.
impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match &self.outcome {
            Outcome::Passed => write!(f, "{name}: passed"),
            Outcome::Skipped(why) => write!(f, "{name}: skipped: {why}"),
            Outcome::Failed(why) => write!(f, "{name}: FAILED: {why}"),
        }
    }
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The promise was kept.
    Passed,
    /// The backend does not make this promise. The text is the backend's reason.
    Skipped(String),
    /// The promise was broken. The text says how.
    Failed(String),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        match error {
            Error::Unsupported { .. } => Outcome::Skipped(error.to_string()),
            error => Outcome::Failed(error.to_string()),
        }
    }
}
