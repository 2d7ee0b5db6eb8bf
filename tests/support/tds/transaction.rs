//! What a transaction has changed, to take it back.

use super::error::Fault;
use super::reply::Reply;
use super::world::{Table, World};

/// One table as it was; none: it was not there.
#[derive(Debug)]
struct Before {
    database: u32,
    name: String,
    table: Option<Table>,
}

/// A session's transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// `@@TRANCOUNT`
    count: u32,
    name: Option<String>,
    is_doomed: bool,
    before: Vec<Before>,
    /// Savepoints: how much had been changed.
    saves: Vec<(String, usize)>,
    number: u64,
}

impl Transaction {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.is_doomed
    }

    /// Nothing but a rollback is left for it.
    pub(super) fn doom(&mut self) {
        self.is_doomed = self.count > 0;
    }

    pub(super) fn begin(&mut self, name: Option<String>, reply: &mut Vec<Reply>) {
        self.count += 1;
        if self.count == 1 {
            self.name = name;
            self.number += 1;
            reply.push(Reply::Began(self.number));
        }
    }

    /// Remembers a table as it is before a change.
    pub(super) fn remember(&mut self, database: u32, name: &str, table: Option<&Table>) {
        if self.count > 0 {
            self.before.push(Before { database, name: name.into(), table: table.cloned() });
        }
    }

    pub(super) fn save(&mut self, name: String) -> Result<(), Fault> {
        if self.count == 0 {
            return Err(Fault::new(
                628,
                "Cannot issue SAVE TRANSACTION when there is no active transaction.",
            ));
        }
        self.saves.push((name, self.before.len()));
        Ok(())
    }

    /// `true`: it was the outermost one.
    pub(super) fn commit(&mut self, reply: &mut Vec<Reply>) -> Result<bool, Fault> {
        match self.count {
            0 => Err(Fault::new(
                3902,
                "The COMMIT TRANSACTION request has no corresponding BEGIN TRANSACTION.",
            )),
            _ if self.is_doomed => Err(Fault::new(
                3930,
                "The current transaction cannot be committed and cannot support operations that write to the log file. Roll back the transaction.",
            )),
            1 => {
                reply.push(Reply::Committed(self.number));
                self.end();
                Ok(true)
            }
            _ => {
                self.count -= 1;
                Ok(false)
            }
        }
    }

    /// Takes all back, or what came after a savepoint; `true`: the transaction has ended.
    pub(super) fn rollback(
        &mut self,
        to: Option<&str>,
        world: &mut World,
        reply: &mut Vec<Reply>,
    ) -> Result<bool, Fault> {
        if self.count == 0 {
            return Err(Fault::new(
                3903,
                "The ROLLBACK TRANSACTION request has no corresponding BEGIN TRANSACTION.",
            ));
        }
        let save = to
            .and_then(|to| self.saves.iter().rposition(|(name, _)| name.eq_ignore_ascii_case(to)));
        if let Some(save) = save {
            let length = self.saves[save].1;
            self.saves.truncate(save + 1);
            self.restore(length, world);
            return Ok(false);
        }
        let is_own =
            |to: &str| self.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(to));
        if to.is_some_and(|to| !is_own(to)) {
            return Err(Fault::new(
                6401,
                "Cannot roll back. No transaction or savepoint of that name was found.",
            ));
        }
        self.restore(0, world);
        reply.push(Reply::RolledBack(self.number));
        self.end();
        Ok(true)
    }

    fn end(&mut self) {
        *self = Transaction { number: self.number, ..Transaction::default() };
    }

    fn restore(&mut self, length: usize, world: &mut World) {
        for before in self.before.drain(length..).rev() {
            let Some(tables) = world.tables_mut(before.database) else { continue };
            tables.retain(|table| !table.name.eq_ignore_ascii_case(&before.name));
            tables.extend(before.table);
        }
    }
}
