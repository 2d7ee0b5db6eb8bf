//! `DBMS_LOCK`, and what is needed of other packages.

use std::time::Duration;

use crate::doubles::locks::Answer;
use crate::doubles::script::Trick;
use crate::doubles::waiting::Outcome;

use super::ast::{Argument, Expr};
use super::fault::Fault;
use super::modes::Mode;
use super::runner::Runner;
use super::time;
use super::value::Value;
use super::world::{Container, Resource, owner};

/// `DBMS_LOCK.MAXWAIT`: a wait of so many seconds has no end.
const MAXWAIT: i64 = 32_767;

/// Routines, with the names of their parameters.
const ROUTINES: [(&str, &str, &[&str]); 14] = [
    ("DBMS_LOCK", "ALLOCATE_UNIQUE", &["LOCKNAME", "LOCKHANDLE", "EXPIRATION_SECS"]),
    ("DBMS_LOCK", "ALLOCATE_UNIQUE_AUTONOMOUS", &["LOCKNAME", "LOCKHANDLE", "EXPIRATION_SECS"]),
    ("DBMS_LOCK", "REQUEST", &["LOCKHANDLE", "LOCKMODE", "TIMEOUT", "RELEASE_ON_COMMIT"]),
    ("DBMS_LOCK", "CONVERT", &["LOCKHANDLE", "LOCKMODE", "TIMEOUT"]),
    ("DBMS_LOCK", "RELEASE", &["LOCKHANDLE"]),
    ("DBMS_LOCK", "SLEEP", &["SECONDS"]),
    ("DBMS_SESSION", "SLEEP", &["SECONDS"]),
    ("DBMS_TRANSACTION", "LOCAL_TRANSACTION_ID", &["CREATE_TRANSACTION"]),
    ("DBMS_SESSION", "UNIQUE_SESSION_ID", &[]),
    ("DBMS_SESSION", "SET_IDENTIFIER", &["CLIENT_ID"]),
    ("DBMS_APPLICATION_INFO", "SET_MODULE", &["MODULE_NAME", "ACTION_NAME"]),
    ("DBMS_APPLICATION_INFO", "SET_CLIENT_INFO", &["CLIENT_INFO"]),
    ("DLOCK_DOUBLE", "FAULT", &["KIND", "MATCH", "TIMES"]),
    ("DLOCK_DOUBLE", "OPTION", &["NAME", "VALUE"]),
];

/// Which parameters a routine writes, by their places.
pub(super) fn written(path: &[String]) -> &'static [bool] {
    match path.last() {
        Some(name) if name.starts_with("ALLOCATE_UNIQUE") => &[false, true],
        _ => &[],
    }
}

/// And by their names.
pub(super) fn is_written(path: &[String], parameter: &str) -> bool {
    parameter == "LOCKHANDLE" && !written(path).is_empty()
}

fn constant(path: &[String]) -> Option<Value> {
    let [package, name] = path else { return None };
    let modes = ["NL_MODE", "SS_MODE", "SX_MODE", "S_MODE", "SSX_MODE", "X_MODE"];
    match name.as_str() {
        _ if package != "DBMS_LOCK" => None,
        "MAXWAIT" => Some(Value::Int(MAXWAIT)),
        name => modes.iter().position(|mode| *mode == name).map(|at| Value::Int(at as i64 + 1)),
    }
}

impl Runner {
    /// Calls a routine of a package; none: there is no such package here.
    pub(super) fn call_package(
        &mut self,
        path: &[String],
        arguments: &[Argument],
    ) -> Result<Option<Value>, Fault> {
        // Whose package it is does not matter.
        let path = if path.len() == 3 && path[0] == "SYS" { &path[1..] } else { path };
        if let Some(value) = constant(path) {
            return Ok(Some(value));
        }
        let [package, name] = path else {
            if path.last().is_some_and(|name| name == "SYS_CONTEXT") {
                return self.context(arguments).map(Some);
            }
            return Ok(None);
        };
        let known = ROUTINES.iter().find(|known| known.0 == package && known.1 == name);
        let Some((.., parameters)) = known else { return Ok(None) };
        let mut values = vec![Value::Null; parameters.len()];
        let mut given = vec![false; parameters.len()];
        let mut handle_to = None;
        for (place, argument) in arguments.iter().enumerate() {
            let place = match argument.name.as_deref() {
                None => place,
                // The other name of the first one, where it is a number.
                Some("ID") => 0,
                Some(name) => {
                    parameters.iter().position(|known| *known == name).unwrap_or(usize::MAX)
                }
            };
            let value = if is_written(path, parameters.get(place).unwrap_or(&"")) {
                handle_to = Some(argument.value.clone());
                Value::Null
            } else {
                self.eval(&argument.value)?
            };
            let wrong = || {
                Fault::new(
                    6550,
                    format!(
                        "line 1, column 7:\nPLS-00306: wrong number or types of arguments in call to '{name}'"
                    ),
                )
            };
            *values.get_mut(place).ok_or_else(wrong)? = value;
            given[place] = true;
        }
        let or = |place: usize, default: Value| {
            if given.get(place) == Some(&true) { values[place].clone() } else { default }
        };
        let text = |place: usize| Ok(values[place].clone().into_text()?.unwrap_or_default());
        Ok(Some(match name.as_str() {
            "ALLOCATE_UNIQUE" | "ALLOCATE_UNIQUE_AUTONOMOUS" => {
                let handle = self.allocate(
                    &text(0)?,
                    &or(2, Value::Int(864_000)),
                    name == "ALLOCATE_UNIQUE",
                )?;
                match handle_to {
                    Some(Expr::Bind(bind)) => {
                        self.assign(&super::ast::Target::Bind(bind), handle)?
                    }
                    Some(Expr::Name(path)) => {
                        self.assign(&super::ast::Target::Name(path), handle)?
                    }
                    _ => {
                        return Err(Fault::new(
                            6550,
                            "line 1, column 7:\nPLS-00363: expression cannot be used as an assignment target",
                        ));
                    }
                }
                Value::Null
            }
            "REQUEST" | "CONVERT" | "RELEASE" => {
                let mode = or(1, Value::Int(6));
                let timeout = or(2, Value::Int(MAXWAIT));
                let on_commit = or(3, Value::Bool(false)) == Value::Bool(true);
                match self.trick {
                    Some(Trick::Code(code)) => Value::Int(code),
                    trick => {
                        let code = self.lock(name, &values[0], &mode, &timeout, on_commit)?;
                        if trick == Some(Trick::Null) { Value::Null } else { Value::Int(code) }
                    }
                }
            }
            "SLEEP" => {
                let seconds = values[0].number()?.unwrap_or(0.0).max(0.0);
                self.sleep(Duration::from_secs_f64(seconds))?;
                Value::Null
            }
            "LOCAL_TRANSACTION_ID" => match self.numbers().first() {
                Some(number) => Value::text(format!("1.{}.{number}", self.id)),
                None => Value::Null,
            },
            "UNIQUE_SESSION_ID" => {
                Value::text(format!("{:04X}{:08X}000000000001", self.id, self.serial))
            }
            "SET_IDENTIFIER" | "SET_MODULE" | "SET_CLIENT_INFO" => {
                let (first, second) = (text(0)?, text(values.len() - 1)?);
                let mut world = self.shared.world();
                if let Some(session) = world.sessions.get_mut(&self.id) {
                    match name.as_str() {
                        "SET_IDENTIFIER" => session.identifier = first,
                        "SET_CLIENT_INFO" => session.client_info = first,
                        _ => (session.module, session.action) = (first, second),
                    }
                }
                Value::Null
            }
            "FAULT" => {
                let times = or(2, Value::Int(1)).int()?.and_then(|times| u32::try_from(times).ok());
                let added =
                    self.shared.world().script.add(&text(0)?, &text(1)?, times.unwrap_or(0));
                added.ok_or_else(|| Fault::syntax("this double knows no fault of that kind"))?;
                Value::Null
            }
            _ => {
                let (name, value) = (text(0)?, text(1)?);
                self.shared.world().set_option(name, value);
                Value::Null
            }
        }))
    }

    fn allocate(&mut self, name: &str, expiration: &Value, commits: bool) -> Result<Value, Fault> {
        if name.is_empty() || name.len() > 128 {
            return Err(Fault::new(
                20_000,
                format!(
                    "ORU-10003: Unable to find or insert lock {name} into catalog dbms_lock_allocated."
                ),
            ));
        }
        if commits {
            self.commit();
        }
        let until = time::now() / 1_000_000 + expiration.int()?.unwrap_or(864_000);
        let id = self.shared.world().allocate(self.container, name, until);
        Ok(Value::Text(format!("{id}{id}{:03}", id % 199)))
    }

    /// The codes of the manual.
    fn lock(
        &mut self,
        what: &str,
        which: &Value,
        mode: &Value,
        timeout: &Value,
        on_commit: bool,
    ) -> Result<i64, Fault> {
        let id = match which {
            Value::Text(handle) => match self.id_of(handle) {
                Some(id) => id,
                None => return Ok(5),
            },
            other => match other.int()?.filter(|id| (0..=1_073_741_823).contains(id)) {
                Some(id) => id,
                None => return Ok(3),
            },
        };
        let (resource, owner) = (Resource::User(self.container, id), owner(self.id, false));
        let held = self.shared.world().locks.mode(&resource, owner);
        if what == "RELEASE" {
            let mut world = self.shared.world();
            world.of_transactions.remove(&(self.id, resource.clone()));
            return Ok(if world.locks.release_whole(&resource, owner) { 0 } else { 4 });
        }
        let (mode, timeout) = (mode.int()?.and_then(Mode::new), timeout.int()?);
        let (Some(mode), Some(timeout @ 0..)) = (mode, timeout) else { return Ok(3) };
        if held.is_some() != (what == "CONVERT") {
            return Ok(4);
        }
        let millis = if timeout >= MAXWAIT { -1 } else { timeout * 1000 };
        let code = match self.wait(resource.clone(), owner, mode, millis)? {
            Outcome::AtOnce | Outcome::AfterWait => 0,
            Outcome::Timeout => 1,
            Outcome::Deadlock => 2,
        };
        if code == 0 && on_commit {
            self.shared.world().of_transactions.insert((self.id, resource));
        }
        Ok(code)
    }

    /// The id in a handle, if that is one.
    fn id_of(&self, handle: &str) -> Option<i64> {
        let id = handle.get(..10)?;
        let number: i64 = id.parse().ok()?;
        let rest = handle[10..].strip_prefix(id)?;
        let is_this = |((container, _), (known, _)): (&(Container, String), &(i64, i64))| {
            *container == self.container && *known == number
        };
        let known = self.shared.world().allocated.iter().any(is_this);
        (known && rest == format!("{:03}", number % 199)).then_some(number)
    }

    /// Waits for a lock, as long as the client wants it.
    pub(super) fn wait(
        &mut self,
        resource: Resource,
        owner: crate::doubles::locks::Owner,
        mode: Mode,
        millis: i64,
    ) -> Result<Outcome, Fault> {
        // What is free needs no runtime.
        {
            let mut world = self.shared.world();
            let is_free = world.locks.is_free(&resource, owner, mode);
            if is_free && matches!(world.locks.request(&resource, owner, mode), Answer::Granted) {
                return Ok(Outcome::AtOnce);
            }
            if millis == 0 {
                return Ok(Outcome::Timeout);
            }
        }
        let (shared, mut stop) = (self.shared.clone(), self.stop.clone());
        self.runtime.block_on(async move {
            tokio::select! {
                outcome = shared.lock(&resource, owner, mode, millis) => Ok(outcome),
                _ = stop.wait_for(|stop| *stop) => Err(Fault::numbered(1013)),
            }
        })
    }

    fn sleep(&self, time: Duration) -> Result<(), Fault> {
        let mut stop = self.stop.clone();
        self.runtime.block_on(async move {
            tokio::select! {
                () = tokio::time::sleep(time) => Ok(()),
                _ = stop.wait_for(|stop| *stop) => Err(Fault::numbered(1013)),
            }
        })
    }

    /// `SYS_CONTEXT('USERENV', …)`
    fn context(&mut self, arguments: &[Argument]) -> Result<Value, Fault> {
        let Some(argument) = arguments.get(1) else {
            return Err(Fault::new(938, "not enough arguments for function"));
        };
        let what = self.eval(&argument.value)?.into_text()?.unwrap_or_default().to_uppercase();
        let world = self.shared.world();
        let Some(session) = world.sessions.get(&self.id) else { return Ok(Value::Null) };
        let client = |what: &str| session.client.get(what).cloned().unwrap_or_default();
        Ok(match what.as_str() {
            "SID" => Value::text(self.id.to_string()),
            "SESSIONID" => Value::text((u32::from(self.id) + 1000 * self.serial).to_string()),
            "INSTANCE" => Value::text("1"),
            "INSTANCE_NAME" | "DB_UNIQUE_NAME" => Value::text("FREE"),
            "DB_NAME" | "CON_NAME" | "SERVICE_NAME" => {
                Value::text(world.option("service").unwrap_or(self.container.name()))
            }
            "DATABASE_ROLE" => Value::text(world.option("role").unwrap_or("PRIMARY")),
            "CURRENT_SCHEMA" | "CURRENT_USER" | "SESSION_USER" => Value::text(self.user.clone()),
            "MODULE" => Value::text(session.module.clone()),
            "ACTION" => Value::text(session.action.clone()),
            "CLIENT_INFO" => Value::text(session.client_info.clone()),
            "CLIENT_IDENTIFIER" => Value::text(session.identifier.clone()),
            "HOST" => Value::text(client("AUTH_MACHINE")),
            "OS_USER" => Value::text(client("AUTH_SID")),
            "SERVER_HOST" => Value::text("localhost"),
            "CON_ID" => Value::text(self.container.id().to_string()),
            _ => return Err(Fault::new(2003, "invalid USERENV parameter")),
        })
    }
}
