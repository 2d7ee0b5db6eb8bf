//! Transactions of a session: its own, and autonomous ones in it.

use crate::doubles::locks::Owner;

use super::fault::Fault;
use super::runner::Runner;
use super::table::{Cells, Change, Refusal};
use super::world::{Resource, owner};

/// What a transaction has done so far.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Its number, from the first change on.
    pub(super) number: Option<u64>,
    pub(super) changes: Vec<Change>,
    /// Names, and how much had been done then.
    pub(super) savepoints: Vec<(String, usize)>,
}

impl Runner {
    fn owner(&self) -> Owner {
        owner(self.id, true)
    }

    pub(super) fn transaction(&mut self) -> &mut Transaction {
        if self.transactions.is_empty() {
            self.transactions.push(Transaction::default());
        }
        let last = self.transactions.len() - 1;
        &mut self.transactions[last]
    }

    pub(super) fn is_in_transaction(&self) -> bool {
        self.transactions.iter().any(|transaction| transaction.number.is_some())
    }

    /// The numbers of transactions whose changes are read: the last one counts.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.transactions.last().and_then(|transaction| transaction.number).into_iter().collect()
    }

    /// Writes a row of a table.
    pub(super) fn write(
        &mut self,
        table: &str,
        key: &str,
        read: Option<&Cells>,
        cells: Option<Cells>,
    ) -> Result<Result<(), Refusal>, Fault> {
        let owner = self.owner();
        let number = self.transaction().number;
        let mut world = self.shared.world();
        let number = number.unwrap_or_else(|| {
            let number = world.transaction();
            world.locks.request(
                &Resource::Transaction(number),
                owner,
                super::modes::Mode::EXCLUSIVE,
            );
            number
        });
        let found = world.tables.get_mut(table).ok_or_else(|| Fault::numbered(942))?;
        let written = found.write(number, key, read, cells);
        drop(world);
        let transaction = self.transaction();
        transaction.number = Some(number);
        Ok(written.map(|before| {
            transaction.changes.push(Change {
                table: table.to_owned(),
                key: key.to_owned(),
                before,
            });
        }))
    }

    /// How much has been done in the transaction.
    pub(super) fn progress(&mut self) -> usize {
        self.transaction().changes.len()
    }

    /// Undoes what has been done since then.
    pub(super) fn undo(&mut self, to: usize) {
        let changes = self.transaction().changes.split_off(to);
        let mut world = self.shared.world();
        for change in changes.into_iter().rev() {
            if let Some(table) = world.tables.get_mut(&change.table) {
                table.restore(&change.key, change.before);
            }
        }
    }

    pub(super) fn roll_back(&mut self, to: Option<&str>) -> Result<(), Fault> {
        let Some(name) = to else {
            self.undo(0);
            self.end();
            return Ok(());
        };
        let savepoints = &mut self.transaction().savepoints;
        let place = savepoints.iter().rposition(|(known, _)| known == name);
        let place = place
            .ok_or_else(|| Fault::new(1086, format!("savepoint '{name}' never established")))?;
        let to = savepoints[place].1;
        savepoints.truncate(place + 1);
        self.undo(to);
        Ok(())
    }

    pub(super) fn commit(&mut self) {
        let changes = std::mem::take(&mut self.transaction().changes);
        let mut world = self.shared.world();
        for change in changes {
            if let Some(table) = world.tables.get_mut(&change.table) {
                table.commit(&change.key);
            }
        }
        drop(world);
        self.end();
    }

    /// Nothing of it is locked any more.
    fn end(&mut self) {
        let is_autonomous = self.transactions.len() > 1;
        let (owner, id) = (self.owner(), self.id);
        let number = self.transaction().number;
        *self.transaction() = Transaction::default();
        let mut world = self.shared.world();
        if let Some(number) = number {
            world.locks.release_whole(&Resource::Transaction(number), owner);
        }
        if !is_autonomous {
            world.release_of_transaction(id);
        }
    }
}
