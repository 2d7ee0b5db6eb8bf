//! Blocks of PL/SQL.

use std::collections::HashMap;
use std::sync::Arc;

use super::ast::{Argument, Block, Command, Declaration, Expr, Query, Routine, Statement, Target};
use super::fault::Fault;
use super::parse;
use super::runner::{Entry, Runner};
use super::transaction::Transaction;
use super::value::{Type, Value};

/// What comes after a command.
#[derive(Debug, PartialEq)]
enum Flow {
    Next,
    Exit,
    Continue,
    Return(Value),
}

/// The numbers of exceptions that have names.
fn exception(name: &str) -> Option<u32> {
    Some(match name {
        "NO_DATA_FOUND" => 1403,
        "DUP_VAL_ON_INDEX" => 1,
        "TOO_MANY_ROWS" => 1422,
        "INVALID_NUMBER" => 1722,
        "VALUE_ERROR" => 6502,
        "ZERO_DIVIDE" => 1476,
        "TIMEOUT_ON_RESOURCE" => 51,
        "CASE_NOT_FOUND" => 6592,
        _ => return None,
    })
}

impl Runner {
    pub(super) fn block(&mut self, block: &Block) -> Result<(), Fault> {
        self.run_block(block).map(|_| ())
    }

    fn run_block(&mut self, block: &Block) -> Result<Flow, Fault> {
        let depth = self.scopes.len();
        self.scopes.push(HashMap::new());
        let own = self.transactions.len();
        if block.is_autonomous {
            self.transaction();
            self.transactions.push(Transaction::default());
        }
        let mut done = self.declare(block).and_then(|()| self.commands(&block.body));
        if let Err(fault) = &done
            && let Some(handler) = self.handler(block, fault)
        {
            self.scopes.truncate(depth + 1);
            self.errors.push(fault.clone());
            done = self.commands(handler);
            self.errors.pop();
        }
        self.scopes.truncate(depth);
        if block.is_autonomous {
            // What it has not committed is an error, and undone.
            let left = self.transactions.last().is_some_and(|last| last.number.is_some());
            self.roll_back(None)?;
            self.transactions.truncate(own.max(1));
            if left && done.is_ok() {
                return Err(Fault::new(
                    6519,
                    "active autonomous transaction detected and rolled back",
                ));
            }
        }
        done
    }

    fn declare(&mut self, block: &Block) -> Result<(), Fault> {
        for declaration in &block.declarations {
            let (name, entry) = match declaration {
                Declaration::Variable(name, of, value) => {
                    let value = value.as_ref().map_or(Ok(Value::Null), |value| self.eval(value))?;
                    (name, Entry::Variable(*of, value.into_type(*of)?))
                }
                // Each one has a number of its own, which nobody sees.
                Declaration::Exception(name) => {
                    (name, Entry::Exception(1_000_000 + name.len() as u32))
                }
                Declaration::Number(name, number) => {
                    (name, Entry::Exception(u32::try_from(*number).unwrap_or(0)))
                }
                Declaration::Routine(routine) => {
                    (&routine.name, Entry::Routine(Arc::clone(routine)))
                }
            };
            if let Some(scope) = self.scopes.last_mut() {
                scope.insert(name.clone(), entry);
            }
        }
        Ok(())
    }

    fn handler<'a>(&self, block: &'a Block, fault: &Fault) -> Option<&'a Vec<Command>> {
        // A call that is not wanted any more ends, whatever it would do about errors.
        if fault.number == 1013 || fault.number == 28 {
            return None;
        }
        let fits = |name: &String| name == "OTHERS" || self.number_of(name) == Some(fault.number);
        block
            .handlers
            .iter()
            .find(|(names, _)| names.iter().any(fits))
            .map(|(_, commands)| commands)
    }

    fn number_of(&self, name: &str) -> Option<u32> {
        match self.entry(name) {
            Some(Entry::Exception(number)) => Some(*number),
            _ => exception(name),
        }
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    pub(super) fn routine(&self, name: &str) -> Option<Arc<Routine>> {
        match self.entry(name) {
            Some(Entry::Routine(routine)) => Some(Arc::clone(routine)),
            _ => None,
        }
    }

    pub(super) fn variable(&self, path: &[String]) -> Result<Option<Value>, Fault> {
        Ok(match (path.first().and_then(|first| self.entry(first)), path) {
            (Some(Entry::Variable(_, value)), [_]) => Some(value.clone()),
            (Some(Entry::Row(row)), [_, name]) => {
                let place = row.names.iter().position(|column| column == name);
                Some(
                    place
                        .and_then(|place| row.cells.get(place).cloned())
                        .ok_or_else(|| Fault::undeclared(name))?,
                )
            }
            _ => None,
        })
    }

    pub(super) fn assign(&mut self, target: &Target, value: Value) -> Result<(), Fault> {
        match target {
            Target::Bind(bind) => {
                if let Some(old) = self.binds.get_mut(*bind) {
                    *old = value;
                }
                Ok(())
            }
            Target::Name(path) => {
                let name = path.last().map_or("", String::as_str);
                let found = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name));
                let Some(Entry::Variable(of, old)) = found else {
                    return Err(Fault::undeclared(name));
                };
                *old = value.into_type(*of)?;
                Ok(())
            }
        }
    }

    /// Calls a routine of a block. A procedure has no value.
    pub(super) fn run_routine(
        &mut self,
        routine: &Routine,
        arguments: &[Argument],
    ) -> Result<Option<Value>, Fault> {
        let mut scope = HashMap::new();
        let mut out = Vec::new();
        for (place, parameter) in routine.parameters.iter().enumerate() {
            let named = |argument: &&Argument| argument.name.as_ref() == Some(&parameter.name);
            let at_place = arguments.get(place).filter(|argument| argument.name.is_none());
            let argument = at_place.or_else(|| arguments.iter().find(named));
            let value = match (argument, &parameter.default) {
                (Some(argument), _) => self.eval(&argument.value)?,
                (None, Some(default)) => self.eval(default)?,
                (None, None) => {
                    return Err(Fault::new(
                        6550,
                        format!(
                            "line 1, column 7:\nPLS-00306: wrong number or types of arguments in call to '{}'",
                            routine.name
                        ),
                    ));
                }
            };
            if let (true, Some(argument)) = (parameter.is_out, argument) {
                out.push((parameter.name.clone(), match &argument.value {
                    Expr::Bind(bind) => Target::Bind(*bind),
                    Expr::Name(path) => Target::Name(path.clone()),
                    _ => return Err(Fault::new(6550, "line 1, column 7:\nPLS-00363: expression cannot be used as an assignment target")),
                }));
            }
            scope.insert(
                parameter.name.clone(),
                Entry::Variable(parameter.of, value.into_type(parameter.of)?),
            );
        }
        let depth = self.scopes.len();
        self.scopes.push(scope);
        let flow = self.run_block(&routine.block);
        let values: Vec<_> =
            out.into_iter().map(|(name, to)| (self.variable(&[name]), to)).collect();
        self.scopes.truncate(depth);
        let flow = flow?;
        for (value, to) in values {
            self.assign(&to, value?.unwrap_or(Value::Null))?;
        }
        Ok(if let Flow::Return(value) = flow { Some(value) } else { None })
    }

    fn commands(&mut self, commands: &[Command]) -> Result<Flow, Fault> {
        for command in commands {
            match self.command(command)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn command(&mut self, command: &Command) -> Result<Flow, Fault> {
        match command {
            Command::Null => {}
            Command::Assign(target, value) => {
                let value = self.eval(value)?;
                self.assign(target, value)?;
            }
            Command::Call(Expr::Call(path, arguments)) => self.procedure(path, arguments)?,
            Command::Call(_) => {}
            Command::If(branches, otherwise) => {
                for (condition, commands) in branches {
                    if self.is_true(Some(condition))? {
                        return self.commands(commands);
                    }
                }
                return self.commands(otherwise);
            }
            Command::Loop(body) => return self.looped(body, |_| Ok(true)),
            Command::While(condition, body) => {
                return self.looped(body, |runner| runner.is_true(Some(condition)));
            }
            Command::For(name, from, to, backwards, body) => {
                let (Some(from), Some(to)) = (self.eval(from)?.int()?, self.eval(to)?.int()?)
                else {
                    return Err(Fault::numbered(6502));
                };
                let mut numbers: Vec<i64> = (from..=to).collect();
                if *backwards {
                    numbers.reverse();
                }
                let entries = numbers
                    .into_iter()
                    .map(|number| Entry::Variable(Type::Integer, Value::Int(number)));
                return self.for_each(name, entries.collect(), body);
            }
            Command::ForRows(name, query, body) => {
                let rows = self.sql_query(query)?;
                let names: Arc<[String]> = rows.names.into();
                let entry = |cells: Vec<Value>| {
                    Entry::Row(super::eval::Bound {
                        alias: String::new(),
                        names: Arc::clone(&names),
                        cells: cells.into(),
                    })
                };
                let entries = rows.rows.into_iter().map(entry).collect();
                return self.for_each(name, entries, body);
            }
            Command::Exit(condition) => {
                return Ok(if self.is_true(condition.as_ref())? { Flow::Exit } else { Flow::Next });
            }
            Command::Continue(condition) => {
                return Ok(if self.is_true(condition.as_ref())? {
                    Flow::Continue
                } else {
                    Flow::Next
                });
            }
            Command::Return(value) => {
                return value
                    .as_ref()
                    .map_or(Ok(Value::Null), |value| self.eval(value))
                    .map(Flow::Return);
            }
            Command::Raise(None) => {
                return Err(self.errors.last().cloned().unwrap_or_else(|| Fault::numbered(6502)));
            }
            Command::Raise(Some(name)) => {
                let number = self.number_of(name).ok_or_else(|| Fault::undeclared(name))?;
                return Err(Fault::numbered(number));
            }
            Command::Block(block) => return self.run_block(block),
            Command::SelectInto(query, into) => {
                let mut rows = self.sql_query(query)?.rows;
                if rows.len() > 1 {
                    return Err(Fault::numbered(1422));
                }
                let row = rows.pop().ok_or_else(|| Fault::numbered(1403))?;
                self.row_count = 1;
                for (target, value) in into.iter().zip(row) {
                    self.assign(target, value)?;
                }
            }
            Command::Immediate { sql, into, using } => self.immediate(sql, into, using)?,
            Command::Sql(statement) => {
                self.statement(statement)?;
                self.is_block = true;
            }
        }
        Ok(Flow::Next)
    }

    fn procedure(&mut self, path: &[String], arguments: &[Argument]) -> Result<(), Fault> {
        if path.last().is_some_and(|name| name == "RAISE_APPLICATION_ERROR") && arguments.len() >= 2
        {
            let number = self.eval(&arguments[0].value)?.int()?.unwrap_or(-20_000);
            let text = self.eval(&arguments[1].value)?.into_text()?.unwrap_or_default();
            return Err(Fault::new(u32::try_from(-number).unwrap_or(20_000), text));
        }
        self.call(path, arguments).map(|_| ())
    }

    /// Runs it as long as this is so.
    fn looped(
        &mut self,
        body: &[Command],
        mut goes_on: impl FnMut(&mut Self) -> Result<bool, Fault>,
    ) -> Result<Flow, Fault> {
        while goes_on(self)? {
            if *self.stop.borrow() {
                return Err(Fault::numbered(1013));
            }
            match self.commands(body)? {
                Flow::Exit => break,
                Flow::Next | Flow::Continue => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn for_each(
        &mut self,
        name: &str,
        entries: Vec<Entry>,
        body: &[Command],
    ) -> Result<Flow, Fault> {
        let mut entries = entries.into_iter();
        let depth = self.scopes.len();
        self.scopes.push(HashMap::new());
        let flow = self.looped(body, |runner| {
            let Some(entry) = entries.next() else { return Ok(false) };
            runner.scopes.truncate(depth + 1);
            if let Some(scope) = runner.scopes.last_mut() {
                scope.insert(name.to_owned(), entry);
            }
            Ok(true)
        });
        self.scopes.truncate(depth);
        flow
    }

    fn sql_query(&mut self, query: &Query) -> Result<super::query::Rows, Fault> {
        let before = self.statement_time.replace(super::time::now());
        let rows = self.query(query);
        self.statement_time = before;
        rows
    }

    fn immediate(&mut self, sql: &Expr, into: &[Target], using: &[Expr]) -> Result<(), Fault> {
        let sql = self.eval(sql)?.into_text()?.unwrap_or_default();
        let values = using.iter().map(|value| self.eval(value)).collect::<Result<Vec<_>, _>>()?;
        let (statement, ..) = parse::statement(&sql)?;
        let (binds, scopes) =
            (std::mem::replace(&mut self.binds, values), std::mem::take(&mut self.scopes));
        if self.user == "POWERLESS" && matches!(statement, Statement::CreateTable { .. }) {
            return Err(Fault::numbered(1031));
        }
        let done = self.statement(&statement);
        (self.binds, self.scopes, self.is_block) = (binds, scopes, true);
        let outcome = done?;
        if into.is_empty() {
            return Ok(());
        }
        let rows = outcome.rows.map(|rows| rows.rows).unwrap_or_default();
        let row = rows.into_iter().next().ok_or_else(|| Fault::numbered(1403))?;
        for (target, value) in into.iter().zip(row) {
            self.assign(target, value)?;
        }
        Ok(())
    }
}
