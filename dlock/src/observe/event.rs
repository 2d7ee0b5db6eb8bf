//! Event: what happened.

use std::time::Duration;

use super::{Label, SessionState};
use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::status::holder::{Holder, Stage};
use crate::status::lost::{LostInfo, LostReason};

/// The lock that something happened to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) key: &'a Key,
    pub(crate) label: &'a Label,
    pub(crate) mode: Mode,
}

/// What happened.
#[derive(Debug)]
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "only meters read some of it"))]
pub(crate) enum Event<'a> {
    /// A caller has asked.
    WaitBegan { of: Subject<'a> },
    /// It has its answer, or has gone.
    WaitEnded { of: Subject<'a> },
    /// A caller got the lock.
    Acquired { of: Subject<'a>, waited: Duration },
    /// A caller that does not wait found it taken.
    Busy { of: Subject<'a>, waited: Duration, stage: Stage, holder: Option<&'a Holder> },
    /// A caller waited in vain.
    TimedOut { of: Subject<'a>, waited: Duration, stage: Stage, holder: Option<&'a Holder> },
    /// A caller did not get it, for another reason.
    Failed { of: Subject<'a>, waited: Duration, error: &'a Error },
    /// A caller waits longer than usual.
    SlowWait { of: Subject<'a>, waited: Duration, holder: Option<&'a Holder> },
    /// It is held longer than it should be, and still is.
    LongHold { of: Subject<'a>, held: Duration },
    /// It was given back.
    Released { of: Subject<'a>, held: Duration },
    /// It was lost while it was held.
    /// `ends`: its end has not been told before.
    Lost { of: Subject<'a>, info: &'a LostInfo, ends: bool },
    /// It was let go, and the database did not confirm that. `why`: how it ended, if that is known.
    /// `ends`: its end has not been told before.
    ReleaseFailed { of: Subject<'a>, held: Duration, why: Option<LostReason>, ends: bool },
    /// It is held in another mode.
    Converted { of: Subject<'a>, from: Mode },
    /// The database has confirmed what is held, in this time.
    Renewed { took: Duration },
    /// A connection to the server does something else now. `None`: there was none, or is none any more.
    SessionMoved { from: Option<SessionState>, to: Option<SessionState> },
    /// It is broken, and is closed next.
    SessionBroken { error: &'a Error },
}

impl<'a> Event<'a> {
    /// What is told of a caller who does not get a lock.
    pub(crate) fn refusal(
        of: Subject<'a>,
        waited: Duration,
        patient: bool,
        error: &'a Error,
    ) -> Self {
        match error {
            Error::Timeout { stage, holder, .. } => {
                let (stage, holder) = (*stage, holder.as_deref());
                match patient {
                    true => Event::TimedOut { of, waited, stage, holder },
                    false => Event::Busy { of, waited, stage, holder },
                }
            }
            error => Event::Failed { of, waited, error },
        }
    }
}
