//! How a command fails: its text and its exit status.

use std::error::Error as _;

use dlock::Error;

/// As in `sysexits.h`.
pub(crate) const USAGE: u8 = 64;
const UNREACHABLE: u8 = 69;
pub(crate) const LOST: u8 = 74;
pub(crate) const BUSY: u8 = 75;
const NO_RIGHT: u8 = 77;
pub(crate) const REFUSED: u8 = 78;

/// The end of a command that did not do what it was to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Failure { code, message: Some(message.into()) }
    }

    /// It cannot be done in this way here.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Failure::new(REFUSED, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new(USAGE, message)
    }

    /// A signal has ended the wait.
    pub(crate) fn stopped(signal: i32) -> Self {
        Failure { code: by_signal(signal), message: None }
    }

    /// The same with another status.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Failure { code, ..self }
    }

    /// Says on stderr what has happened.
    pub(crate) fn print(&self) {
        if let Some(message) = &self.message {
            eprintln!("dlock: {message}");
        }
    }
}

/// The status of what a signal has ended, as shells have it.
pub(crate) fn by_signal(signal: i32) -> u8 {
    128_u8.wrapping_add(u8::try_from(signal & 0x7f).unwrap_or(0))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Timeout { .. } | Error::Deadlock { .. } => BUSY,
            Error::Lost { .. } => LOST,
            Error::Permission { .. } => NO_RIGHT,
            error if error.is_retryable() => UNREACHABLE,
            _ => REFUSED,
        };
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            source = cause.source();
        }
        Failure::new(code, message)
    }
}
