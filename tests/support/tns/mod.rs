//! A double of Oracle, for where there is none: it speaks TNS as Oracle's driver does, and has `DBMS_LOCK` with modes,
//! handles, queues and deadlocks, a part of PL/SQL and of SQL with transactions and row locks, and the views in which
//! they show.
//!
//! It knows no statement by heart. What it cannot show is how Oracle really behaves: it does what the manual says.

mod answer;
mod ast;
mod block;
mod codec;
mod connection;
mod cursors;
mod dml;
mod eval;
mod fault;
mod functions;
mod lex;
mod login;
mod modes;
mod package;
mod parse;
mod parse_block;
mod parse_expr;
mod parse_sql;
mod query;
mod request;
mod runner;
mod table;
mod time;
mod transaction;
mod value;
mod views;
mod wire;
mod world;

use std::io;

use tokio::net::TcpListener;

use self::world::{Shared, World};

/// The first packet that a client says, and how long it is; and whether it begins a message that has a
/// statement run. None: more is to come.
pub(crate) fn packet(bytes: &[u8]) -> Option<(usize, bool)> {
    let length = wire::length(bytes.get(..8)?);
    let packet = bytes.get(..length).filter(|packet| packet.len() >= 8)?;
    let is_statement =
        packet[4] == wire::DATA && packet.get(10..).is_some_and(request::is_statement);
    Some((length, is_statement))
}

/// Returns `true` if the rest of a message comes after a packet of this length.
pub(crate) fn is_continued(length: usize) -> bool {
    length >= wire::SDU
}

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
