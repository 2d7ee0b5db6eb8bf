//! That of SQL Server.

mod applocks;
mod faults;
mod sql;
mod tables;
