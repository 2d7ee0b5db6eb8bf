//! Leases: locks in a table of the database's, each with a time at which it ends by itself.

pub use crate::backend::lease::ddl;
