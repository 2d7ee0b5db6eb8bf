//! T-SQL's functions, as far as they are needed.

use std::cmp::Ordering;

use super::ast::Expr;
use super::error::Fault;
use super::eval::{eval, is_true};
use super::locks::Owner;
use super::metadata;
use super::modes::Mode;
use super::scope::Scope;
use super::time;
use super::types;
use super::value::{Type, Value, units};

/// The functions of all rows of a group.
pub(super) const AGGREGATES: [&str; 5] = ["COUNT", "COUNT_BIG", "MAX", "MIN", "SUM"];

/// What `@@name` is.
pub(super) fn global(name: &str, scope: &Scope<'_>) -> Result<Value, Fault> {
    let locals = scope.locals;
    Ok(match name {
        "@@spid" => Value::Int(locals.id.into()),
        "@@trancount" => Value::Int(locals.transactions.into()),
        "@@rowcount" => Value::Int(locals.row_count),
        "@@lock_timeout" => Value::Int(locals.lock_timeout),
        "@@error" => Value::Int(locals.last_error.into()),
        "@@version" => Value::text(metadata::version(scope.world)),
        "@@servername" => Value::text("double"),
        _ => return Err(super::scope::undeclared(name)),
    })
}

/// The type of a call's value.
pub(super) fn type_of(name: &str, arguments: &[Expr], scope: &Scope<'_>) -> Result<Type, Fault> {
    let first = || arguments.first().map_or(Ok(Type::Int), |first| types::type_of(first, scope));
    Ok(match name {
        "COUNT_BIG" | "DATEDIFF_BIG" | "CURRENT_TRANSACTION_ID" => Type::BigInt,
        "SYSUTCDATETIME" | "GETUTCDATE" | "SYSDATETIME" | "GETDATE" | "DATEADD" => Type::Time,
        "DB_NAME" | "HOST_NAME" | "APP_NAME" | "SUSER_SNAME" | "ORIGINAL_LOGIN" | "USER_NAME"
        | "SCHEMA_NAME" | "OBJECT_NAME" | "SUSER_NAME" | "CURRENT_USER" | "SYSTEM_USER"
        | "ORIGINAL_DB_NAME" => Type::Text(Some(128)),
        "APPLOCK_MODE" => Type::Text(Some(32)),
        "ERROR_MESSAGE" => Type::Text(Some(4000)),
        "NEWID" => Type::Text(Some(36)),
        "LEFT" | "RIGHT" | "SUBSTRING" | "UPPER" | "LOWER" | "LTRIM" | "RTRIM" | "TRIM"
        | "ISNULL" | "NULLIF" | "MAX" | "MIN" | "ABS" => first()?,
        "SUM" => first()?.wider(Type::Int),
        "COALESCE" => types::of_any(arguments.iter(), scope)?,
        "IIF" => types::of_any(arguments.iter().skip(1), scope)?,
        "REPLACE" | "CONCAT" | "QUOTENAME" | "STRING_ESCAPE" => Type::Text(None),
        "CONTEXT_INFO" => Type::Bytes(Some(128)),
        "DATABASEPROPERTYEX" | "SERVERPROPERTY" | "CONNECTIONPROPERTY" => {
            metadata::property_type(arguments)
        }
        "XACT_STATE" | "APPLOCK_TEST" => Type::SmallInt,
        _ => Type::Int,
    })
}

/// The value of a call.
pub(super) fn call(name: &str, arguments: &[Expr], scope: &Scope<'_>) -> Result<Value, Fault> {
    if AGGREGATES.contains(&name) {
        return aggregate(name, arguments, scope);
    }
    let at = |place: usize| {
        arguments.get(place).ok_or_else(|| Fault::syntax(&format!("{name} takes more arguments")))
    };
    let arg = |place: usize| eval(at(place)?, scope);
    let text = |place: usize| arg(place)?.into_text();
    let int = |place: usize| arg(place)?.int();
    let locals = scope.locals;
    let caught = locals.caught.as_ref();
    Ok(match name {
        "SYSUTCDATETIME" | "GETUTCDATE" | "SYSDATETIME" | "GETDATE" => Value::Time(time::now()),
        "DATEADD" => match (int(1)?, arg(2)?.into_type(Type::Time)?) {
            (Some(number), Value::Time(ticks)) => {
                Value::Time(time::add(&word(at(0)?)?, number, ticks)?)
            }
            _ => Value::Null,
        },
        "DATEDIFF" | "DATEDIFF_BIG" => {
            match (arg(1)?.into_type(Type::Time)?, arg(2)?.into_type(Type::Time)?) {
                (Value::Time(from), Value::Time(to)) => {
                    let between = time::between(&word(at(0)?)?, from, to)?;
                    if name == "DATEDIFF" && i32::try_from(between).is_err() {
                        return Err(Fault::new(
                            535,
                            "The datediff function resulted in an overflow. Try to use datediff with a less precise datepart.",
                        ));
                    }
                    Value::Int(between)
                }
                _ => Value::Null,
            }
        }
        "ISNULL" => {
            let to = types::type_of(at(0)?, scope)?;
            let first = arg(0)?;
            if first.is_null() { arg(1)?.into_type(to)? } else { first }
        }
        "COALESCE" => {
            let to = types::of_any(arguments.iter(), scope)?;
            let values = arguments.iter().map(|argument| eval(argument, scope));
            let found = values.into_iter().find(|value| !matches!(value, Ok(Value::Null)));
            found.unwrap_or(Ok(Value::Null))?.into_type(to)?
        }
        "NULLIF" => {
            let (first, second) = (arg(0)?, arg(1)?);
            let is_same = first.compare(&second, false)? == Some(Ordering::Equal);
            if is_same { Value::Null } else { first }
        }
        "IIF" => arg(if is_true(at(0)?, scope)? { 1 } else { 2 })?,
        "CONCAT" => {
            let parts = (0..arguments.len()).map(text).collect::<Result<Vec<_>, _>>()?;
            Value::Text(parts.into_iter().flatten().collect())
        }
        "ABS" => int(0)?.map_or(Value::Null, |int| Value::Int(int.abs())),
        "LEN" => text(0)?.map_or(Value::Null, |text| Value::Int(count(text.trim_end_matches(' ')))),
        "DATALENGTH" => match arg(0)? {
            Value::Bytes(bytes) => Value::Int(i64::try_from(bytes.len()).unwrap_or(0)),
            other => other.into_text()?.map_or(Value::Null, |text| Value::Int(2 * count(&text))),
        },
        "UPPER" => text(0)?.map_or(Value::Null, |text| Value::Text(text.to_uppercase())),
        "LOWER" => text(0)?.map_or(Value::Null, |text| Value::Text(text.to_lowercase())),
        "LTRIM" => text(0)?.map_or(Value::Null, |text| Value::text(text.trim_start())),
        "RTRIM" => text(0)?.map_or(Value::Null, |text| Value::text(text.trim_end())),
        "TRIM" => text(0)?.map_or(Value::Null, |text| Value::text(text.trim())),
        "QUOTENAME" => text(0)?
            .map_or(Value::Null, |text| Value::Text(format!("[{}]", text.replace(']', "]]")))),
        "LEFT" | "RIGHT" | "SUBSTRING" => match (text(0)?, int(1)?) {
            (Some(text), Some(number)) => {
                let units: Vec<u16> = text.encode_utf16().collect();
                let all = i64::try_from(units.len()).unwrap_or(0);
                let (from, length) = match name {
                    "LEFT" => (0, number),
                    "RIGHT" => ((all - number).max(0), number),
                    _ => (number - 1, int(2)?.unwrap_or(0)),
                };
                let clamp = |at: i64| usize::try_from(at.clamp(0, all)).unwrap_or(0);
                Value::Text(String::from_utf16_lossy(
                    &units[clamp(from)..clamp(from + length).max(clamp(from))],
                ))
            }
            _ => Value::Null,
        },
        "REPLACE" => match (text(0)?, text(1)?, text(2)?) {
            (Some(text), Some(from), Some(to)) => Value::Text(text.replace(&from, &to)),
            _ => Value::Null,
        },
        "CHARINDEX" => match (text(0)?, text(1)?) {
            (Some(part), Some(whole)) => {
                let place = whole.to_lowercase().find(&part.to_lowercase());
                Value::Int(place.map_or(0, |place| count(&whole[..place]) + 1))
            }
            _ => Value::Null,
        },
        "XACT_STATE" => Value::Int(match locals {
            _ if locals.transactions == 0 => 0,
            _ if locals.is_doomed => -1,
            _ => 1,
        }),
        "CONTEXT_INFO" if locals.context.is_empty() => Value::Null,
        "CONTEXT_INFO" => Value::Bytes(locals.context.clone()),
        "CURRENT_TRANSACTION_ID" => Value::Int(locals.id.into()),
        "ERROR_NUMBER" => caught.map_or(Value::Null, |fault| Value::Int(fault.number.into())),
        "ERROR_SEVERITY" => caught.map_or(Value::Null, |fault| Value::Int(fault.severity.into())),
        "ERROR_STATE" => caught.map_or(Value::Null, |fault| Value::Int(fault.state.into())),
        "ERROR_MESSAGE" => caught.map_or(Value::Null, |fault| Value::text(&fault.message)),
        "APPLOCK_MODE" | "APPLOCK_TEST" => applock(name, arguments, scope)?,
        _ => metadata::call(name, arguments, scope)?,
    })
}

/// A word that is no column: `second`.
fn word(expr: &Expr) -> Result<String, Fault> {
    match expr {
        Expr::Column(name) => Ok(name[0].clone()),
        _ => Err(Fault::syntax("a datepart is expected")),
    }
}

fn count(text: &str) -> i64 {
    i64::try_from(units(text)).unwrap_or(0)
}

fn applock(name: &str, arguments: &[Expr], scope: &Scope<'_>) -> Result<Value, Fault> {
    let texts = arguments.iter().map(|argument| eval(argument, scope)?.into_text());
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let part = |place: usize| texts.get(place).cloned().flatten().unwrap_or_default();
    let owner_name = part(texts.len().saturating_sub(1));
    let is_transaction = owner_name.eq_ignore_ascii_case("transaction");
    let owner = Owner { session: scope.locals.id, is_transaction };
    let resource = scope.world.application(scope.locals.database, &part(0), &part(1));
    if name == "APPLOCK_MODE" {
        let mode = scope.world.locks.mode(&resource, owner);
        return Ok(Value::text(mode.map_or("NoLock", |mode| mode.names().0)));
    }
    if is_transaction && scope.locals.transactions == 0 {
        return Err(Fault::new(
            1230,
            "An invalid parameter or option was specified for procedure 'applock_test'.",
        ));
    }
    let mode = Mode::parse(&part(2)).ok_or_else(|| Fault::syntax("no such lock mode"))?;
    Ok(Value::bit(scope.world.locks.is_free(&resource, owner, mode)))
}

fn aggregate(name: &str, arguments: &[Expr], scope: &Scope<'_>) -> Result<Value, Fault> {
    let Some(group) = scope.group else {
        return Err(Fault::syntax(&format!("{name} outside of a query")));
    };
    let Some(of) = arguments.first().filter(|of| **of != Expr::Star) else {
        return Ok(Value::Int(i64::try_from(group.len()).unwrap_or(0)));
    };
    let mut values = Vec::new();
    for row in group {
        let value = eval(of, &scope.at(row))?;
        if !value.is_null() {
            values.push(value);
        }
    }
    if name.starts_with("COUNT") {
        return Ok(Value::Int(i64::try_from(values.len()).unwrap_or(0)));
    }
    let mut whole = Value::Null;
    for value in values {
        whole = match (name, &whole) {
            (_, Value::Null) => value,
            ("SUM", _) => Value::Int(whole.int()?.unwrap_or(0) + value.int()?.unwrap_or(0)),
            _ => {
                let order = value.compare(&whole, false)?;
                let wanted = if name == "MAX" { Ordering::Greater } else { Ordering::Less };
                if order == Some(wanted) { value } else { whole }
            }
        };
    }
    Ok(whole)
}
