//! The `#[locked]` attribute of dlock.
