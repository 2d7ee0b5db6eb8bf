//! What is asked for: the key, how it becomes the database's id, the mode, and the options.

mod encoding;
pub(crate) mod key;
pub(crate) mod lock_id;
pub(crate) mod mode;
#[cfg(feature = "mysql")]
pub(crate) mod name;
pub(crate) mod native;
pub(crate) mod options;
pub(crate) mod scheme;
pub(crate) mod wait;
