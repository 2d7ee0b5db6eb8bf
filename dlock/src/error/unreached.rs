//! Why a server cannot be used, and what to do.

use std::fmt::{self, Display, Formatter};

use super::Source;

/// What was seen of a server that has no connection left for us.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub(super) struct Full {
    pub(super) remedy: &'static str,
    pub(super) source: Source,
}

/// Why a locker takes no more keys.
#[derive(Debug, thiserror::Error)]
#[error("max_keys is {most}")]
pub(super) struct TooManyKeys {
    pub(super) most: usize,
    pub(super) setting: Option<&'static str>,
}

/// Why a server cannot be used, and what to do.
pub(super) struct Unreached<'a>(pub(super) &'a Source);

impl Display for Unreached<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(Full { remedy, .. }) = self.0.downcast_ref() {
            return write!(
                f,
                "has no connection left for this locker; {remedy}; or try again later"
            );
        }
        let Some(TooManyKeys { most, setting }) = self.0.downcast_ref() else {
            return f.write_str(
                "cannot be reached or does not answer; check the address and that it is up, and try \
                 again later",
            );
        };
        write!(
            f,
            "is not asked for one lock more: this locker holds or wants {most} keys, as many as \
             LockerBuilder::max_keys says; release some and try again, lock fewer and larger things, \
             or raise it"
        )?;
        match setting {
            Some(setting) => write!(
                f,
                " together with the server's {setting}, for more could fill the server's table of \
                 locks"
            ),
            None => f.write_str(" (the server has no setting for it but its memory)"),
        }
    }
}
