//! Waits: a statement that the server ends when the lock is granted, when the time is over, or when it is told to.

use std::time::Duration;

use super::session_sql::{self, name};
use super::{MySql, Session};
use crate::backend::{SessionWaits, Waited};
use crate::error::Result;
use crate::spec::lock_id::LockId;

impl SessionWaits for MySql {
    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        let limits = session.server.family.limits(time);
        let sql = session_sql::wait(
            session.server.proof(),
            &name(&lock_id.key),
            &limits,
            self.application_name.as_deref(),
        );
        match self.ask(session, sql).await {
            Ok(Some(answer)) if answer == "1" => Ok(Waited::Granted),
            Ok(Some(answer)) if answer == "0" => Ok(Waited::Busy),
            // What MariaDB says of a wait that was stopped.
            Ok(None) => self.release_unwanted(session, lock_id).await.map(|()| Waited::Busy),
            Ok(Some(answer)) => Err(self.strange(&answer)),
            Err(failed) if failed.is_ended_wait() => {
                self.release_unwanted(session, lock_id).await.map(|()| Waited::Busy)
            }
            Err(failed) => Err(self.failed(failed)),
        }
    }
}

impl MySql {
    /// After a wait that was stopped: the grant and what stopped it may have met.
    async fn release_unwanted(&self, session: &mut Session, lock_id: &LockId) -> Result<()> {
        // A cancel that came too late for the wait may hit this statement.
        let mut tries = 3;
        loop {
            match self
                .ask(session, session_sql::unlock(session.server.proof(), &name(&lock_id.key)))
                .await
            {
                Ok(_) => return Ok(()),
                Err(failed) if tries > 0 && failed.is_ended_wait() => tries -= 1,
                Err(failed) => return Err(self.failed(failed)),
            }
        }
    }
}
