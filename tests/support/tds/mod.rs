//! A double of SQL Server, for where there is none: it speaks TDS, and has a real table of application locks, with
//! owners, modes, queues, transactions and deadlocks, tables for leases, and the views in which they show.
//!
//! It understands a part of T-SQL and no statement by heart. What it cannot show is how SQL Server really behaves: it
//! does what the manual says, or what was seen of other servers of that protocol.

mod applock;
mod ast;
mod catalog;
mod change;
mod connection;
mod dml;
mod error;
mod eval;
mod functions;
mod lex;
mod locks;
mod login;
mod merge;
mod metadata;
mod modes;
mod parse;
mod parse_expr;
mod parse_query;
mod parse_statement;
mod parse_write;
mod query;
mod reply;
mod request;
mod runner;
mod scope;
mod source;
mod state;
mod time;
mod tokens;
mod transaction;
mod types;
mod value;
mod views;
mod wire;
mod world;
mod write;

use std::io;

use tokio::net::TcpListener;

use self::world::World;
use crate::doubles::waiting::Shared;

/// Serves all who connect, for ever.
///
/// # Errors
/// When nobody can come any more.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    let shared = Shared::new(World::new());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection::serve(stream, shared.clone()));
    }
}
