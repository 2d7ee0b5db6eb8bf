//! LeaseOptions: the settings of leases.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "_database")]
use super::owner::{OwnerSpec, process};
use super::table::Table;
use crate::error::{Error, Result};
use crate::spec::options::{LONGEST, LockOptions, check_owner, check_ttl};

/// To ask a database more often than this is to do nothing else.
const POLL_TIME_MIN: Duration = Duration::from_micros(100);
/// A renewal that is due so soon before the end comes too late, and one that is due so soon after
/// the last one comes all the time.
const RENEWAL_TIME_MIN: Duration = Duration::from_millis(10);

/// The settings of locks that are kept in a lease table, and of the table where session locks draw
/// their fencing tokens.
/// ```
/// use std::time::Duration;
/// use dlock::LeaseOptions;
///
/// let patient = LeaseOptions::new().ttl(Duration::from_secs(60)).table("ops.leases");
/// # let _ = patient;
/// ```
#[derive(Debug, Clone, Default)]
pub struct LeaseOptions {
    ttl: Option<Duration>,
    renew_before: Option<Duration>,
    owner: Option<Arc<str>>,
    table: Option<String>,
    poll: Option<(Duration, Duration)>,
    /// Who this is, in the owners that are made here.
    #[cfg(feature = "_database")]
    process: Option<Arc<str>>,
}

impl LeaseOptions {
    /// Returns the default settings.
    pub fn new() -> Self {
        LeaseOptions::default()
    }

    /// Sets the duration of a lease. While a lease is held, dlock renews it after each third of
    /// this time. It expires by itself this long after the last renewal. So others wait this long
    /// for a holder that was killed, and a holder that cannot reach the database may go on working
    /// this long.
    ///
    /// The time is counted by the database's clock. If that clock is set forward by more than two
    /// thirds of this time, others can get the lease while its holder works on until its next
    /// renewal, at most a third of this time. The same holds in a cluster whose nodes' clocks
    /// differ by that much. Only a fencing token helps in these cases; let clocks be slewed, not
    /// stepped.
    ///
    /// At least 100 ms, and far above the pauses of your disk and your scheduler. With
    /// [`Duration::MAX`] the lease lasts until it is released, even if the process ends before.
    /// Default: 10 s, and 30 s on a Galera cluster, which stands still for 6 s when it loses a
    /// node.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets how long before its end a lease is renewed. At least 10 ms, and at least 10 ms less
    /// than the ttl. It should be enough for several attempts. Default: two thirds of the ttl.
    #[must_use]
    pub fn renew_before(mut self, time: Duration) -> Self {
        self.renew_before = Some(time);
        self
    }

    /// Sets the owner of the leases, see [`Lock::owner`](crate::Lock::owner). **Two live processes
    /// with one name do not exclude each other, and both may run for a third of the ttl.** Default:
    /// a unique name for each grant, which no other process can have. It names the holder:
    /// `billing@web-3:4711/` and 32 hex digits, made of
    /// [`application_name`](crate::LockerBuilder::application_name), host and process id.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into().into());
        self
    }

    /// Sets the table, `name` or `schema.name`, spelled as in the database (dlock quotes the
    /// names). Default: `dlock_leases`, in the schema that is current when the locker connects.
    /// With [`KeyScheme::DjangoDatabaseLocks`](crate::KeyScheme) it is the table of
    /// django-database-locks.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    /// Sets the shortest and the longest time between two polls for a lease that another process
    /// holds. The first poll comes soon, the others at growing intervals, and one when the lease is
    /// due to end. All intervals have jitter, so that processes do not poll in step. Default: 1 to
    /// 20 ms on SQLite, 5 to 50 ms on servers.
    #[must_use]
    pub fn poll(mut self, shortest: Duration, longest: Duration) -> Self {
        self.poll = Some((shortest, longest));
        self
    }

    /// Returns the statements that create the table on a database of this kind: `postgres`,
    /// `mysql`, `mariadb` or `sqlite` (or a whole URL). For users who migrate by hand.
    ///
    /// # Errors
    /// [`Error::Config`] for another kind, and for a table name that is not possible.
    pub fn ddl(&self, backend: &str) -> Result<String> {
        super::ddl::of(backend, &self.table_of(false)?)
    }

    /// Refuses what cannot be.
    pub(crate) fn check(&self) -> Result<()> {
        self.ttl.map_or(Ok(()), check_ttl)?;
        self.owner.as_deref().map_or(Ok(()), check_owner)?;
        self.table_of(false)?;
        if let Some((shortest, longest)) = self.poll
            && (shortest < POLL_TIME_MIN || shortest > longest || longest > LONGEST)
        {
            return Err(Error::config(format!(
                "the leases' poll is from {shortest:?} to {longest:?}; the first must be at least \
                 100 µs and no more than the second, the second at most a year"
            )));
        }
        self.check_renewal(self.ttl.unwrap_or(super::TTL))
    }

    /// What is set that means nothing without leases: the table is that of fencing tokens as well.
    pub(crate) fn only_for_leases(&self) -> Option<&'static str> {
        match self {
            LeaseOptions { ttl: Some(_), .. } => Some("ttl"),
            LeaseOptions { renew_before: Some(_), .. } => Some("renew_before"),
            LeaseOptions { owner: Some(_), .. } => Some("owner"),
            LeaseOptions { poll: Some(_), .. } => Some("poll"),
            LeaseOptions { ttl: None, renew_before: None, owner: None, poll: None, .. } => None,
        }
    }

    /// Refuses options that do not go with these options.
    pub(crate) fn check_options(&self, options: &LockOptions) -> Result<()> {
        if options.data.is_some() && (options.owner.is_some() || self.owner.is_some()) {
            return Err(Error::config(
                "a lock has both data and a named owner; data stand behind the owner that dlock makes \
                 for each grant: leave one of them out",
            ));
        }
        options.ttl.map_or(Ok(()), |ttl| self.check_renewal(ttl))
    }

    fn check_renewal(&self, ttl: Duration) -> Result<()> {
        let Some(before) = self.renew_before else {
            return Ok(());
        };
        // One that lasts until its release is not renewed.
        let most = if ttl == Duration::MAX { ttl } else { ttl.saturating_sub(RENEWAL_TIME_MIN) };
        if (RENEWAL_TIME_MIN..=most).contains(&before) {
            return Ok(());
        }
        Err(Error::config(format!(
            "leases of {ttl:?} cannot be renewed {before:?} before their end; renew_before must be \
             at least 10 ms, and at least 10 ms less than the ttl"
        )))
    }

    /// The table. `django`: that of django-database-locks.
    pub(crate) fn table_of(&self, django: bool) -> Result<Table> {
        Table::named(self.table.as_deref(), django)
    }
}

/// What the engine of leases asks for.
#[cfg(feature = "_database")]
impl LeaseOptions {
    pub(crate) fn time_to_live(&self) -> Option<Duration> {
        self.ttl
    }

    /// After how long a lease of this ttl is renewed.
    pub(crate) fn renew_after(&self, ttl: Duration) -> Duration {
        self.renew_before.map_or(ttl / 3, |before| ttl.saturating_sub(before))
    }

    /// The same options of a locker of this process.
    #[doc(hidden)]
    pub fn of_process(self, process: Arc<str>) -> Self {
        LeaseOptions { process: Some(process), ..self }
    }

    /// What the owners of leases on these options are made of.
    pub(crate) fn owner_of(&self, options: &LockOptions) -> OwnerSpec {
        if let Some(name) = options.owner.as_ref().or(self.owner.as_ref()) {
            return OwnerSpec::Named(Arc::clone(name));
        }
        let process = self.process.clone().unwrap_or_else(|| process(None));
        OwnerSpec::Token { process, data: options.data.clone() }
    }

    pub(crate) fn intervals(&self) -> Option<(Duration, Duration)> {
        self.poll
    }
}
