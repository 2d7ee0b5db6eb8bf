//! A session's state, and what changes it.

use super::ast::Expr;
use super::dml::Context;
use super::error::Fault;
use super::eval::{eval, is_true};
use super::reply::Reply;
use super::scope::{Answer, Locals, Scope, undeclared};
use super::transaction::Transaction;
use super::value::{Type, Value};
use super::world::Shared;

/// What a session has, from its first batch to its last.
pub(super) struct State {
    pub(super) shared: Shared,
    pub(super) locals: Locals,
    pub(super) transaction: Transaction,
    pub(super) reply: Vec<Reply>,
    /// Any error ends the batch and the transaction.
    pub(super) aborts: bool,
}

impl State {
    pub(super) fn new(shared: Shared, locals: Locals) -> Self {
        let (transaction, reply) = (Transaction::default(), Vec::new());
        State { shared, locals, transaction, reply, aborts: false }
    }

    /// As after a login: what `sp_reset_connection` does.
    pub(super) fn reset(&mut self) {
        if self.transaction.count() > 0 {
            let _ = self.roll_back(None);
        }
        let id = self.locals.id;
        self.shared.world().locks.release_all(|owner| owner.session == id);
        self.locals.lock_timeout = -1;
        self.locals.context.clear();
        self.aborts = false;
    }

    /// Tells the client of an error; one of those that end the transaction does so here.
    pub(super) fn tell(&mut self, fault: Fault) {
        self.locals.last_error = fault.number;
        let ends =
            fault.number == 1205 || fault.number == 3960 || (self.aborts && fault.severity > 10);
        if ends && self.transaction.count() > 0 {
            let _ = self.roll_back(None);
        }
        self.reply.push(Reply::Error(fault));
    }

    pub(super) fn context(&mut self) -> Context<'_> {
        Context {
            shared: &self.shared,
            locals: &mut self.locals,
            transaction: &mut self.transaction,
            reply: &mut self.reply,
        }
    }

    pub(super) fn eval(&self, expr: &Expr) -> Result<Value, Fault> {
        eval(expr, &Scope::new(&self.shared.world(), &self.locals))
    }

    pub(super) fn is_true(&self, expr: &Expr) -> Result<bool, Fault> {
        is_true(expr, &Scope::new(&self.shared.world(), &self.locals))
    }

    pub(super) fn assign(&mut self, name: &str, value: Value) -> Result<(), Fault> {
        let (of, old) = self.locals.variables.get_mut(name).ok_or_else(|| undeclared(name))?;
        *old = value.into_type(*of)?;
        Ok(())
    }

    pub(super) fn option(&mut self, name: &str, value: Option<&Expr>) -> Result<(), Fault> {
        let value = value.map_or(Ok(Value::Null), |value| self.eval(value))?;
        match name {
            "LOCK_TIMEOUT" => self.locals.lock_timeout = value.int()?.unwrap_or(-1),
            "XACT_ABORT" => self.aborts = value == Value::Int(1),
            "CONTEXT_INFO" => {
                // It is always 128 bytes long.
                if let Value::Bytes(mut bytes) = value.into_type(Type::Bytes(Some(128)))? {
                    bytes.resize(128, 0);
                    self.locals.context = bytes;
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn assign_rows(
        &mut self,
        variables: &[Option<String>],
        answer: Answer,
    ) -> Result<(), Fault> {
        for row in answer.rows {
            for (variable, value) in variables.iter().zip(row) {
                let variable = variable.as_ref().ok_or_else(|| Fault::new(141, "A SELECT statement that assigns a value to a variable must not be combined with data-retrieval operations."))?;
                self.assign(variable, value)?;
            }
        }
        Ok(())
    }

    pub(super) fn kill(&self, session: &Expr) -> Result<(), Fault> {
        if !super::metadata::sees_all(&self.locals.login) {
            return Err(Fault::new(
                6102,
                "User does not have permission to use the KILL statement.",
            ));
        }
        let id = self.eval(session)?.int()?.and_then(|id| u16::try_from(id).ok()).unwrap_or(0);
        if id == self.locals.id {
            return Err(Fault::new(6104, "Cannot use KILL to kill your own process."));
        }
        let world = self.shared.world();
        let session = world.sessions.get(&id);
        let session = session.ok_or_else(|| {
            Fault::new(6106, format!("Process ID {id} is not an active process ID."))
        })?;
        session.kill.notify_one();
        Ok(())
    }

    pub(super) fn use_database(&mut self, name: &str) -> Result<(), Fault> {
        let mut world = self.shared.world();
        let id = world.database(name)?;
        let before = world.database_name(self.locals.database).to_owned();
        self.reply.push(Reply::Database(before, world.database_name(id).to_owned()));
        self.locals.database = id;
        if let Some(session) = world.sessions.get_mut(&self.locals.id) {
            session.database = id;
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, name: Option<String>) {
        self.transaction.begin(name, &mut self.reply);
        self.sync();
    }

    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        if self.transaction.commit(&mut self.reply)? {
            self.shared.world().release_transaction(self.locals.id);
        }
        self.sync();
        Ok(())
    }

    pub(super) fn roll_back(&mut self, to: Option<&str>) -> Result<(), Fault> {
        let ended = {
            let mut world = self.shared.world();
            let ended = self.transaction.rollback(to, &mut world, &mut self.reply)?;
            if ended {
                world.release_transaction(self.locals.id);
            }
            ended
        };
        if ended {
            self.sync();
        }
        Ok(())
    }

    /// Shows the transaction to expressions, and to others.
    pub(super) fn sync(&mut self) {
        self.locals.transactions = self.transaction.count();
        self.locals.is_doomed = self.transaction.is_doomed();
        if let Some(session) = self.shared.world().sessions.get_mut(&self.locals.id) {
            session.transactions = self.locals.transactions;
        }
    }
}
