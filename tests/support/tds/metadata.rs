//! What a server says of itself.

use super::ast::Expr;
use super::error::Fault;
use super::eval::eval;
use super::scope::Scope;
use super::value::{Type, Value};
use super::world::World;

/// A login that may not see others.
const LIMITED: &str = "limited";
/// A login that may neither lock nor make tables.
pub(super) const POWERLESS: &str = "powerless";

/// `@@VERSION`
pub(super) fn version(world: &World) -> &'static str {
    match world {
        _ if world.is("babelfish") => {
            "Babelfish for PostgreSQL with SQL Server Compatibility - 12.0.2000.8 (a double)"
        }
        _ if world.is("azure") => "Microsoft SQL Azure (RTM) - 12.0.2000.8 (a double)",
        _ => "Microsoft SQL Server 2022 (RTM) - 16.0.1000.6 (a double, for tests of dlock)",
    }
}

/// Whether a login may see other sessions.
pub(super) fn sees_all(login: &str) -> bool {
    login != LIMITED && login != POWERLESS
}

/// The type of a property: its name is written where it is asked for.
pub(super) fn property_type(arguments: &[Expr]) -> Type {
    match arguments.last() {
        Some(Expr::Literal(Value::Text(name), _)) => {
            let numbers = [
                "engineedition",
                "ishadrenabled",
                "isclustered",
                "issingleuser",
                "isfulltextinstalled",
                "babelfishversion",
            ];
            let is_number = numbers.contains(&name.to_lowercase().as_str())
                && !name.eq_ignore_ascii_case("babelfishversion");
            if is_number { Type::Int } else { Type::Text(Some(128)) }
        }
        _ => Type::Text(Some(128)),
    }
}

/// Functions about the server, the session and the database.
pub(super) fn call(name: &str, arguments: &[Expr], scope: &Scope<'_>) -> Result<Value, Fault> {
    let (world, locals) = (scope.world, scope.locals);
    let values = arguments.iter().map(|argument| match argument {
        Expr::Column(_) => Ok(None),
        argument => eval(argument, scope)?.into_text(),
    });
    let texts = values.collect::<Result<Vec<_>, _>>()?;
    let part = |place: usize| texts.get(place).cloned().flatten();
    let number = |place: usize| part(place).and_then(|text| text.parse::<u32>().ok());
    Ok(match name {
        "DB_NAME" | "ORIGINAL_DB_NAME" => {
            let database = world.database_name(number(0).unwrap_or(locals.database));
            if database.is_empty() { Value::Null } else { Value::text(database) }
        }
        "DB_ID" => match part(0) {
            Some(name) => world.database(&name).map_or(Value::Null, |id| Value::Int(id.into())),
            None => Value::Int(locals.database.into()),
        },
        "HOST_NAME" => Value::text(&locals.host),
        "APP_NAME" => Value::text(&locals.program),
        "SUSER_SNAME" | "SUSER_NAME" | "ORIGINAL_LOGIN" | "SYSTEM_USER" => {
            Value::text(&locals.login)
        }
        "USER_NAME" | "CURRENT_USER" => {
            Value::text(if locals.login == "sa" { "dbo" } else { &locals.login })
        }
        "SCHEMA_NAME" => Value::text("dbo"),
        "SCHEMA_ID" => Value::Int(1),
        "OBJECT_ID" => {
            let name = part(0).unwrap_or_default().replace(['[', ']'], "");
            let name = name.rsplit('.').next().unwrap_or_default();
            let tables = world.tables(locals.database).iter();
            let place =
                tables.map(|table| &table.name).position(|known| known.eq_ignore_ascii_case(name));
            place
                .and_then(|place| i64::try_from(place).ok())
                .map_or(Value::Null, |place| Value::Int(place + 1000))
        }
        "OBJECT_NAME" => {
            let place = number(0)
                .and_then(|id| id.checked_sub(1000))
                .and_then(|id| usize::try_from(id).ok());
            let table = place.and_then(|place| world.tables(locals.database).get(place));
            table.map_or(Value::Null, |table| Value::text(&table.name))
        }
        "COL_LENGTH" => {
            let name = part(0).unwrap_or_default();
            let column = part(1).unwrap_or_default();
            let table = world.table(locals.database, name.rsplit('.').next().unwrap_or_default());
            let columns = table.map(|table| table.def.columns.iter());
            let found = columns
                .and_then(|mut all| all.find(|known| known.name.eq_ignore_ascii_case(&column)));
            found.map_or(Value::Null, |found| {
                Value::Int(match found.of {
                    Type::Bit | Type::TinyInt => 1,
                    Type::SmallInt => 2,
                    Type::Int => 4,
                    Type::Text(length) => {
                        length.map_or(-1, |length| i64::try_from(length).unwrap_or(0) * 2)
                    }
                    Type::Bytes(length) => {
                        length.map_or(-1, |length| i64::try_from(length).unwrap_or(0))
                    }
                    _ => 8,
                })
            })
        }
        "HAS_PERMS_BY_NAME" => {
            Value::bit(match part(2).unwrap_or_default().to_uppercase().as_str() {
                permission if permission.starts_with("VIEW SERVER") => sees_all(&locals.login),
                _ => locals.login != POWERLESS,
            })
        }
        "DATABASEPROPERTYEX" => match part(1).unwrap_or_default().to_lowercase().as_str() {
            "updateability" => {
                Value::text(if world.is("read_only") { "READ_ONLY" } else { "READ_WRITE" })
            }
            "status" => Value::text("ONLINE"),
            "edition" => Value::text("Standard"),
            "serviceobjective" if world.is("azure") => Value::text("ElasticPool"),
            _ => Value::Null,
        },
        "SERVERPROPERTY" => match part(0).unwrap_or_default().to_lowercase().as_str() {
            "engineedition" => Value::Int(if world.is("azure") { 5 } else { 3 }),
            "productversion" => Value::text("16.0.1000.6"),
            "edition" => Value::text(if world.is("azure") {
                "SQL Azure"
            } else {
                "Developer Edition (64-bit)"
            }),
            "babelfishversion" if world.is("babelfish") => Value::text("4.3.0"),
            "servername" | "machinename" => Value::text("double"),
            "ishadrenabled" | "isclustered" | "issingleuser" => Value::Int(0),
            _ => Value::Null,
        },
        "CONNECTIONPROPERTY" => Value::text("TCP"),
        "IS_SRVROLEMEMBER" | "IS_MEMBER" => Value::bit(locals.login == "sa"),
        "DATABASE_PRINCIPAL_ID" => Value::Int(1),
        "NEWID" => {
            let random = fastrand::u128(..);
            let hex = format!("{random:032X}");
            Value::Text(format!(
                "{}-{}-{}-{}-{}",
                &hex[..8],
                &hex[8..12],
                &hex[12..16],
                &hex[16..20],
                &hex[20..]
            ))
        }
        _ => {
            return Err(Fault::new(
                195,
                format!("'{name}' is not a recognized built-in function name."),
            ));
        }
    })
}
