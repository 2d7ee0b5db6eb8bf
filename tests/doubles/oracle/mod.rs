//! That of Oracle.

mod faults;
mod locks;
mod sql;
