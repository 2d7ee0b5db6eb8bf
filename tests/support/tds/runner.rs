//! Runs batches, statement by statement.

use std::collections::HashMap;
use std::time::Duration;

use super::applock::{self, Arguments};
use super::ast::{Item, Name, Query, Statement};
use super::error::Fault;
use super::parse;
use super::query;
use super::reply::{self, Reply};
use super::request::Request;
use super::scope::{Locals, Scope};
use super::state::State;
use super::time;
use super::tokens::Style;
use super::value::Value;
use super::world::Shared;

/// How a batch stops before its end.
enum Stop {
    /// By an error that nobody has been told yet.
    Fault(Fault),
    /// By an error that the client has been told.
    Told,
    Return,
    Break,
    Continue,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

type Ran = Result<(), Stop>;

/// A session, and where in a batch it is.
pub(super) struct Runner {
    state: State,
    /// How many TRYs are around the statement.
    tries: u32,
    depth: u32,
}

impl Runner {
    pub(super) fn new(shared: Shared, locals: Locals) -> Self {
        Runner { state: State::new(shared, locals), tries: 0, depth: 0 }
    }

    /// As after a login.
    pub(super) fn reset(&mut self) {
        self.state.reset();
    }

    /// Does what is asked for, and answers.
    pub(super) async fn run(&mut self, request: Request) -> (Vec<Reply>, Style) {
        self.state.reply.clear();
        self.state.locals.variables.clear();
        self.state.locals.tables.clear();
        (self.state.locals.caught, self.tries, self.depth) = (None, 0, 0);
        let style = match &request {
            Request::Procedure { .. } => Style::Procedure,
            _ => Style::Batch,
        };
        let ran = match request {
            Request::Batch(sql) => self.batch(&sql).await,
            Request::Procedure { name, arguments } => {
                let name =
                    name.rsplit('.').map(|part| part.trim_matches(['[', ']']).to_owned()).collect();
                let code = self.procedure(&name, Arguments(arguments)).await;
                code.map(|code| self.state.reply.push(Reply::Status(code)))
            }
            Request::Begin => {
                self.state.begin(None);
                Ok(())
            }
            Request::Commit => self.state.commit().map_err(Stop::Fault),
            Request::Rollback(name) => self.state.roll_back(name.as_deref()).map_err(Stop::Fault),
            Request::Save(name) => self.state.transaction.save(name).map_err(Stop::Fault),
        };
        if let Err(Stop::Fault(fault)) = ran {
            self.state.tell(fault);
        }
        (std::mem::take(&mut self.state.reply), style)
    }

    async fn batch(&mut self, sql: &str) -> Ran {
        let statements = parse::batch(sql)?;
        match self.all(&statements).await {
            Err(Stop::Return) => Ok(()),
            other => other,
        }
    }

    async fn all(&mut self, statements: &[Statement]) -> Ran {
        for statement in statements {
            let ran = Box::pin(self.one(statement)).await;
            match ran {
                Ok(()) => self.state.locals.last_error = 0,
                Err(Stop::Fault(fault)) if self.tries > 0 => return Err(Stop::Fault(fault)),
                Err(Stop::Fault(fault)) => {
                    let ends_batch = fault.ends_batch || self.state.aborts;
                    self.state.tell(fault);
                    if ends_batch {
                        return Err(Stop::Told);
                    }
                    self.state.reply.push(Reply::Done(None));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn one(&mut self, statement: &Statement) -> Ran {
        match statement {
            Statement::Declare(variables) => {
                for (name, of, value) in variables {
                    let value =
                        value.as_ref().map_or(Ok(Value::Null), |value| self.state.eval(value))?;
                    self.state.locals.variables.insert(name.clone(), (*of, value.into_type(*of)?));
                }
            }
            Statement::DeclareTable(name, def) => {
                let table =
                    super::world::Table { name: name.clone(), def: def.clone(), rows: Vec::new() };
                self.state.locals.tables.insert(name.clone(), table);
            }
            Statement::Set(name, value) => {
                let value = self.state.eval(value)?;
                self.state.assign(name, value)?;
            }
            Statement::Option(name, value) => self.state.option(name, value.as_ref())?,
            Statement::Execute { result, procedure, arguments } => {
                let arguments = arguments
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.state.eval(value)?)));
                let arguments = arguments.collect::<Result<Vec<_>, Fault>>()?;
                let code = self.procedure(procedure, Arguments(arguments)).await?;
                if let Some(result) = result {
                    self.state.assign(result, Value::Int(code))?;
                }
            }
            Statement::Query(query) => self.query(query).await?,
            Statement::Insert { .. }
            | Statement::Update { .. }
            | Statement::Delete { .. }
            | Statement::Merge { .. } => {
                self.state.context().change(statement).await?;
            }
            Statement::CreateTable(name, def) => self.state.context().create_table(name, def)?,
            Statement::DropTable(name, if_exists) => {
                self.state.context().drop_table(name, *if_exists)?
            }
            Statement::CreateDatabase(name) => self.state.shared.world().create_database(name)?,
            Statement::DropDatabase(name, if_exists) => {
                self.state.shared.world().drop_database(name, *if_exists)?
            }
            Statement::Use(name) => self.state.use_database(name)?,
            Statement::Begin(name) => self.state.begin(name.clone()),
            Statement::Commit => self.state.commit()?,
            Statement::Rollback(name) => self.state.roll_back(name.as_deref())?,
            Statement::Save(name) => self.state.transaction.save(name.clone())?,
            Statement::Kill(session) => self.state.kill(session)?,
            Statement::Wait(time) => {
                let text = self.state.eval(time)?.into_text()?.unwrap_or_default();
                let ticks = time::parse(&format!("0001-01-01 {text}"))?;
                let micros = u64::try_from(ticks / 10).unwrap_or(0);
                tokio::time::sleep(Duration::from_micros(micros)).await;
            }
            Statement::If(condition, then, otherwise) => {
                let branch =
                    if self.state.is_true(condition)? { Some(then) } else { otherwise.as_ref() };
                if let Some(branch) = branch {
                    Box::pin(self.one(branch)).await?;
                }
            }
            Statement::While(condition, body) => {
                while self.state.is_true(condition)? {
                    match Box::pin(self.one(body)).await {
                        Err(Stop::Break) => break,
                        Ok(()) | Err(Stop::Continue) => {}
                        other => return other,
                    }
                }
            }
            Statement::Block(statements) => Box::pin(self.all(statements)).await?,
            Statement::Try(body, catch) => self.attempt(body, catch).await?,
            Statement::Throw(None) => {
                let caught = self.state.locals.caught.clone();
                return Err(Stop::Fault(
                    caught.unwrap_or_else(|| Fault::syntax("THROW outside of CATCH")),
                ));
            }
            Statement::Throw(Some((number, message))) => {
                let number =
                    self.state.eval(number)?.int()?.and_then(|number| u32::try_from(number).ok());
                let message = self.state.eval(message)?.into_text()?.unwrap_or_default();
                let ends_batch = true;
                return Err(Stop::Fault(Fault {
                    ends_batch,
                    ..Fault::new(number.unwrap_or(50_000), message)
                }));
            }
            Statement::Return(value) => {
                if let Some(value) = value {
                    self.state.eval(value)?;
                }
                return Err(Stop::Return);
            }
            Statement::Break => return Err(Stop::Break),
            Statement::Continue => return Err(Stop::Continue),
            Statement::Nothing | Statement::Print => {}
        }
        Ok(())
    }

    async fn attempt(&mut self, body: &[Statement], catch: &[Statement]) -> Ran {
        self.tries += 1;
        let tried = Box::pin(self.all(body)).await;
        self.tries -= 1;
        let Err(Stop::Fault(fault)) = tried else { return tried };
        if self.state.aborts || matches!(fault.number, 1205 | 3960) {
            self.state.transaction.doom();
        }
        self.state.sync();
        self.state.locals.last_error = fault.number;
        let before = self.state.locals.caught.replace(fault);
        let caught = Box::pin(self.all(catch)).await;
        self.state.locals.caught = before;
        caught
    }

    async fn query(&mut self, query: &Query) -> Result<(), Fault> {
        self.state.context().wait_to_read(query).await?;
        let answer =
            query::run(query, &Scope::new(&self.state.shared.world(), &self.state.locals))?;
        self.state.locals.row_count = i64::try_from(answer.rows.len()).unwrap_or(0);
        let variables = query.items.iter().map(|item| match item {
            Item::Assign { variable, .. } => Some(variable.clone()),
            _ => None,
        });
        let variables: Vec<_> = variables.collect();
        if variables.iter().all(Option::is_none) {
            reply::rows(&mut self.state.reply, answer);
            return Ok(());
        }
        self.state.assign_rows(&variables, answer)
    }

    /// Runs a procedure; its return code.
    async fn procedure(&mut self, name: &Name, arguments: Arguments) -> Result<i64, Stop> {
        let schema = name.get(1).map(|schema| schema.to_lowercase());
        match (schema.as_deref(), name[0].to_lowercase().as_str()) {
            (Some("dlock_double"), "fault") => {
                let kind = arguments.text("@kind", 0)?.unwrap_or_default();
                let matching = arguments.text("@match", 1)?.unwrap_or_default();
                let times = arguments.get("@times", 2).map_or(Ok(Some(1)), Value::int)?;
                let times = times.and_then(|times| u32::try_from(times).ok()).unwrap_or(0);
                let added = self.state.shared.world().script.add(&kind, &matching, times);
                added.ok_or_else(|| Fault::syntax(&format!("no fault of the kind '{kind}'")))?;
                Ok(0)
            }
            (Some("dlock_double"), "option") => {
                let name = arguments.text("@name", 0)?.unwrap_or_default();
                let value = arguments.text("@value", 1)?.unwrap_or_default();
                self.state.shared.world().set_option(&name, &value);
                Ok(0)
            }
            (_, "sp_getapplock") => {
                Ok(applock::get(&self.state.shared, &self.state.locals, &arguments).await?)
            }
            (_, "sp_releaseapplock") => {
                let (code, error) =
                    applock::release(&self.state.shared, &self.state.locals, &arguments)?;
                if let Some(error) = error {
                    if self.tries > 0 || self.state.aborts {
                        return Err(Stop::Fault(error));
                    }
                    self.state.tell(error);
                }
                Ok(code)
            }
            (_, "sp_executesql") => self.dynamic(arguments).await,
            (_, "sp_reset_connection") => {
                self.state.reset();
                Ok(0)
            }
            (_, other) => Err(Stop::Fault(Fault::new(
                2812,
                format!("Could not find stored procedure '{other}'."),
            ))),
        }
    }

    /// A batch with variables, and settings, of its own.
    async fn dynamic(&mut self, arguments: Arguments) -> Result<i64, Stop> {
        if self.depth > 30 {
            return Err(Stop::Fault(Fault::new(
                217,
                "Maximum stored procedure nesting level exceeded (limit 32).",
            )));
        }
        let sql = arguments.text("@stmt", 0)?.unwrap_or_default();
        let params = arguments.text("@params", 1)?.unwrap_or_default();
        let mut variables = HashMap::new();
        if !params.trim().is_empty() {
            for statement in parse::batch(&format!("DECLARE {params}"))? {
                let Statement::Declare(declared) = statement else { continue };
                for (place, (name, of, _)) in declared.into_iter().enumerate() {
                    let value = arguments.get(&name, place + 2);
                    let value = value.cloned().ok_or_else(|| {
                        Fault::new(8178, format!("The parameterized query expects the parameter '{name}', which was not supplied."))
                    })?;
                    variables.insert(name, (of, value.into_type(of)?));
                }
            }
        }
        let variables = std::mem::replace(&mut self.state.locals.variables, variables);
        let tables = std::mem::take(&mut self.state.locals.tables);
        let (aborts, timeout) = (self.state.aborts, self.state.locals.lock_timeout);
        let before = self.state.transaction.count();
        self.depth += 1;
        let ran = Box::pin(self.batch(&sql)).await;
        self.depth -= 1;
        (self.state.locals.variables, self.state.locals.tables) = (variables, tables);
        (self.state.aborts, self.state.locals.lock_timeout) = (aborts, timeout);
        match ran {
            Err(Stop::Told) if self.depth == 0 => return Ok(0),
            other => other?,
        }
        let after = self.state.transaction.count();
        if before != after {
            self.state.tell(Fault::new(266, format!("Transaction count after EXECUTE indicates a mismatching number of BEGIN and COMMIT statements. Previous count = {before}, current count = {after}.")));
        }
        Ok(0)
    }
}
