//! What a status endpoint shows: status, reports, losses and errors for serde. Feature `serde`.
//!
//! The names of the fields are part of the interface: `docs/json.md` has them, and
//! `tests/api/serialized.rs` pins them. A time is a number of seconds. Nothing here says more than
//! `Display` does, so no password is in it.

use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::error::Error;
use crate::spec::key::Key;
use crate::spec::mode::Mode;
use crate::spec::native::NativeKey;
use crate::status::holder::{Holder, Stage};
use crate::status::lost::{LostInfo, LostReason};
use crate::status::{Explained, Finding, LockStatus, Report, Severity};

/// What is one word, or one line.
macro_rules! as_displayed {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
as_displayed!(Mode, NativeKey, Severity);

macro_rules! as_fields {
    ($($type:ident { $($name:literal: $value:expr),* $(,)? } by $this:ident;)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $this = self;
                let fields = [$($name),*].len();
                let mut all = serializer.serialize_struct(stringify!($type), fields)?;
                $(all.serialize_field($name, $value)?;)*
                all.end()
            }
        }
    )*};
}
as_fields! {
    Holder {
        "who": &holder.who,
        "held_for_s": &holder.held_for.map(|time| time.as_secs_f64()),
        "data": &holder.data,
    } by holder;
    LockStatus {
        "key": &status.key,
        "native": &status.native,
        "mode": &status.mode,
        "holders": &status.holders,
        "waiters": &status.waiters,
    } by status;
    Explained {
        "native": &explained.native,
        "sql": &explained.sql,
    } by explained;
    Report {
        "ok": &report.is_ok(),
        "findings": &report.findings,
    } by report;
    Finding {
        "severity": &finding.severity,
        "what": &finding.what,
        "remedy": &finding.remedy,
    } by finding;
    LostInfo {
        "key": &info.key,
        "reason": &info.reason,
        "held_for_s": &info.held_for.as_secs_f64(),
    } by info;
}

/// The whole text where the key is text; else as [`Display`](std::fmt::Display) shows it.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}

impl Serialize for LostReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            LostReason::SessionEnded => "session_ended",
            LostReason::Unconfirmed => "unconfirmed",
            LostReason::NotHeld => "not_held",
            LostReason::Expired => "expired",
            LostReason::Overtaken => "overtaken",
            LostReason::Closed => "closed",
        })
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Stage::Process => "process",
            Stage::Database => "database",
            Stage::Done => "done",
        })
    }
}

/// A summary: the kind, the text, and the fields that the kind has. The
/// [source](std::error::Error::source) is left out.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_map(None)?;
        all.serialize_entry("kind", self.kind())?;
        all.serialize_entry("message", &self.to_string())?;
        all.serialize_entry("retryable", &self.is_retryable())?;
        if let Some(key) = self.key() {
            all.serialize_entry("key", key)?;
        }
        match self {
            Error::Timeout { waited, stage, holder, .. } => {
                all.serialize_entry("waited_s", &seconds(waited))?;
                all.serialize_entry("stage", stage)?;
                all.serialize_entry("holder", &holder.as_deref())?;
            }
            Error::Lost { reason, held_for, .. } => {
                all.serialize_entry("reason", reason)?;
                all.serialize_entry("held_for_s", &seconds(held_for))?;
            }
            Error::Unsupported { backend, .. }
            | Error::Permission { backend, .. }
            | Error::Unavailable { backend, .. }
            | Error::Backend { backend, .. } => all.serialize_entry("backend", backend)?,
            _ => {}
        }
        all.end()
    }
}

fn seconds(time: &Duration) -> f64 {
    time.as_secs_f64()
}

impl Error {
    fn kind(&self) -> &'static str {
        match self {
            Error::Timeout { .. } => "timeout",
            Error::Lost { .. } => "lost",
            Error::Reentrant { .. } => "reentrant",
            Error::Deadlock { .. } => "deadlock",
            Error::InvalidKey { .. } => "invalid_key",
            Error::NotInstalled { .. } => "not_installed",
            Error::AlreadyInstalled { .. } => "already_installed",
            Error::Unsupported { .. } => "unsupported",
            Error::Permission { .. } => "permission",
            Error::Config { .. } => "config",
            Error::Unavailable { .. } => "unavailable",
            Error::Backend { .. } => "backend",
            Error::Closed => "closed",
        }
    }

    fn key(&self) -> Option<&Key> {
        match self {
            Error::Timeout { key, .. }
            | Error::Lost { key, .. }
            | Error::Reentrant { key }
            | Error::Deadlock { key }
            | Error::InvalidKey { key, .. } => Some(key),
            Error::Permission { key, .. }
            | Error::Unavailable { key, .. }
            | Error::Backend { key, .. } => key.as_deref(),
            _ => None,
        }
    }
}
