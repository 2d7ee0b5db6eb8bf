//! Waits, in slices: the driver cannot stop a statement.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::errors::Code;
use super::session::{Part, Session};
use super::session_sql::What;
use super::{Oracle, SLICE};
use crate::backend::{SessionWaits, Waited};
use crate::error::Result;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

/// The server counts whole seconds: to this exactness,
const EXACTNESS: Duration = Duration::from_millis(10);
/// and what is left of a wait is for tries with such pauses.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(50);
impl SessionWaits for Oracle {
    /// Waits in slices, for the driver cannot stop a statement. With each the wait is at the end of
    /// the line again.
    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        let begun = Instant::now();
        let left = || time.saturating_sub(begun.elapsed());
        let mut pause = PAUSE_MIN;
        loop {
            let seconds = whole_seconds(left());
            match self.wait_once(session, What::Request, lock_id, seconds).await? {
                Waited::Busy if left().is_zero() => return Ok(Waited::Busy),
                Waited::Busy if seconds > 0 => {}
                Waited::Busy => {
                    sleep(pause.min(left())).await;
                    pause = (2 * pause).min(PAUSE_MAX);
                }
                end => return Ok(end),
            }
        }
    }

    fn check_conversion(&self, _: Mode, _: Mode) -> Result<()> {
        Ok(())
    }

    /// Has a lock that is held be held in another mode. Less than a second is one try.
    async fn convert(
        &self,
        session: &mut Session,
        held: &LockId,
        to: Mode,
        time: Duration,
    ) -> Result<Waited> {
        if session.locks.is_shared(held) {
            // The server knows of one holder only.
            return Ok(Waited::Busy);
        }
        let lock_id = LockId { key: held.key.clone(), mode: to };
        self.wait_once(session, What::Convert, &lock_id, whole_seconds(time)).await
    }

    /// The server looks whether a wait is part of a circle when it has lasted some seconds.
    fn conversion_wait_max(&self) -> Duration {
        SLICE
    }

    fn stops_waits(&self) -> bool {
        false
    }
}

impl Oracle {
    async fn wait_once(
        &self,
        session: &mut Session,
        what: What,
        lock_id: &LockId,
        seconds: u32,
    ) -> Result<Waited> {
        let replies =
            self.orders(session, &[Part { what, lock_id, seconds, fenced: false }]).await?;
        let reply = replies.first().ok_or_else(|| self.unexpected("no answer"))?;
        match self.code(reply)? {
            Code::Done => {
                session.locks.granted(lock_id);
                Ok(Waited::Granted)
            }
            Code::Deadlock => Ok(Waited::Deadlock),
            Code::Timeout => Ok(Waited::Busy),
            // What waits holds nothing, and what converts holds it.
            code @ (Code::Owner | Code::Wrong | Code::Handle) => {
                Err(self.unexpected(&format!("{code:?} of a wait")))
            }
        }
    }
}

/// The seconds of one slice of a wait: no more than there are.
fn whole_seconds(left: Duration) -> u32 {
    u32::try_from((left + EXACTNESS).min(SLICE).as_secs()).unwrap_or(0)
}
