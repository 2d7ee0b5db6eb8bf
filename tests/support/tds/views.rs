//! The views in which a server shows itself.

use std::sync::Arc;

use super::ast::Name;
use super::catalog;
use super::error::Fault;
use super::locks::{Line, Resource};
use super::metadata;
use super::scope::{Answer, Column, Scope};
use super::value::{Type, Value};
use super::world::World;

/// The type of a name.
pub(super) const NAME: Type = Type::Text(Some(128));

/// The view of that name, if it is one.
pub(super) fn view(name: &Name, scope: &Scope<'_>) -> Option<Result<Answer, Fault>> {
    let schema = name.get(1)?.to_lowercase();
    let view = name[0].to_lowercase();
    let answer = match (schema.as_str(), view.as_str()) {
        ("sys", "dm_tran_locks") => all(scope, tran_locks),
        ("sys", "dm_os_waiting_tasks") => all(scope, waiting_tasks),
        ("sys", "dm_exec_connections") => all(scope, connections),
        // Here everybody sees at least himself.
        ("sys", "dm_exec_sessions") => Ok(sessions(scope)),
        ("sys", "dm_exec_requests") => Ok(requests(scope)),
        ("sys", "databases") => Ok(catalog::databases(scope.world)),
        ("sys", "schemas") => Ok(answer(
            &[("schema_id", Type::Int), ("name", NAME)],
            vec![vec![Value::Int(1), Value::text("dbo")]],
        )),
        ("sys", "tables" | "objects") => Ok(catalog::tables(scope)),
        ("sys", "columns") => Ok(catalog::columns(scope)),
        ("information_schema", "tables") => Ok(catalog::schema_tables(scope)),
        ("information_schema", "columns") => Ok(catalog::schema_columns(scope)),
        ("sys", _) => Err(Fault::new(208, format!("Invalid object name 'sys.{view}'."))),
        _ => return None,
    };
    Some(answer)
}

/// Rows of those columns.
pub(super) fn answer(columns: &[(&str, Type)], rows: Vec<Vec<Value>>) -> Answer {
    let columns = columns.iter().map(|(name, of)| Column::new(name, *of)).collect();
    Answer { columns: Arc::new(columns), rows }
}

/// Only for who may see others.
fn all(scope: &Scope<'_>, view: fn(&World) -> Answer) -> Result<Answer, Fault> {
    match metadata::sees_all(&scope.locals.login) {
        true => Ok(view(scope.world)),
        false => Err(Fault::numbered(300)),
    }
}

/// A number that is the same each time, as the server shows with a name that it shows only in part.
fn hash(name: &str) -> u32 {
    name.bytes()
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The type of what is locked, its database, and how it is described.
fn described(world: &World, resource: &Resource) -> (&'static str, u32, String) {
    match resource {
        Resource::Application { database, name, .. } => {
            let shown: Vec<u16> = name.encode_utf16().take(32).collect();
            let shown = String::from_utf16_lossy(&shown);
            ("APPLICATION", *database, format!("0:[{shown}]:({:08x})", hash(name)))
        }
        Resource::Table { database, name } => {
            let place = world.tables(*database).iter().position(|table| table.name == *name);
            ("OBJECT", *database, place.map_or(String::new(), |place| (place + 1000).to_string()))
        }
    }
}

fn tran_locks(world: &World) -> Answer {
    let row = |line: Line<'_>| {
        let (kind, database, description) = described(world, line.resource);
        let owner = if line.owner.is_transaction { "TRANSACTION" } else { "SESSION" };
        let session = i64::from(line.owner.session);
        vec![
            Value::text(kind),
            Value::text(""),
            Value::Int(database.into()),
            Value::Text(description),
            Value::Int(0),
            Value::text(line.mode.names().1),
            Value::text("LOCK"),
            Value::text(line.status),
            Value::Int(line.count.into()),
            Value::Int(session),
            Value::text(owner),
            Value::Int(if line.owner.is_transaction { session } else { 0 }),
        ]
    };
    let columns = [
        ("resource_type", Type::Text(Some(60))),
        ("resource_subtype", Type::Text(Some(60))),
        ("resource_database_id", Type::Int),
        ("resource_description", Type::Text(Some(256))),
        ("resource_associated_entity_id", Type::BigInt),
        ("request_mode", Type::Text(Some(60))),
        ("request_type", Type::Text(Some(60))),
        ("request_status", Type::Text(Some(60))),
        ("request_reference_count", Type::SmallInt),
        ("request_session_id", Type::Int),
        ("request_owner_type", Type::Text(Some(60))),
        ("request_owner_id", Type::BigInt),
    ];
    answer(&columns, world.locks.lines().map(row).collect())
}

fn waiting_tasks(world: &World) -> Answer {
    let row = |line: Line<'_>| {
        let since = line.since?;
        let waited = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let blockers = world.locks.blockers(line.owner.session);
        Some(vec![
            Value::Int(line.owner.session.into()),
            Value::Int(waited),
            Value::Text(format!("LCK_M_{}", line.mode.names().1)),
            blockers.first().map_or(Value::Null, |blocker| Value::Int((*blocker).into())),
            Value::Text(described(world, line.resource).2),
        ])
    };
    let columns = [
        ("session_id", Type::SmallInt),
        ("wait_duration_ms", Type::BigInt),
        ("wait_type", Type::Text(Some(60))),
        ("blocking_session_id", Type::SmallInt),
        ("resource_description", Type::Text(Some(3072))),
    ];
    answer(&columns, world.locks.lines().filter_map(row).collect())
}

fn connections(world: &World) -> Answer {
    let row = |(id, session): (&u16, &super::world::Session)| {
        let (host, port) = session.address.rsplit_once(':').unwrap_or((&session.address, "0"));
        vec![
            Value::Int((*id).into()),
            Value::Int((*id).into()),
            Value::Time(session.since),
            Value::text("TCP"),
            Value::text("FALSE"),
            Value::text(host),
            Value::Int(port.parse().unwrap_or(0)),
        ]
    };
    let columns = [
        ("session_id", Type::Int),
        ("most_recent_session_id", Type::Int),
        ("connect_time", Type::Time),
        ("net_transport", Type::Text(Some(40))),
        ("encrypt_option", Type::Text(Some(40))),
        ("client_net_address", Type::Text(Some(48))),
        ("client_tcp_port", Type::Int),
    ];
    answer(&columns, world.sessions.iter().map(row).collect())
}

/// The sessions that this one may see.
fn seen<'a>(scope: &'a Scope<'_>) -> impl Iterator<Item = (&'a u16, &'a super::world::Session)> {
    let (own, all) = (scope.locals.id, metadata::sees_all(&scope.locals.login));
    scope.world.sessions.iter().filter(move |(id, _)| all || **id == own)
}

fn sessions(scope: &Scope<'_>) -> Answer {
    let rows = seen(scope).map(|(id, session)| {
        vec![
            Value::Int((*id).into()),
            Value::Time(session.since),
            Value::text(&session.host),
            Value::text(&session.program),
            Value::Int(session.process.into()),
            Value::text("dlock double"),
            Value::text(&session.login),
            Value::text(&session.login),
            Value::text(if session.running.is_some() { "running" } else { "sleeping" }),
            Value::Time(session.asked),
            Value::Time(session.asked),
            Value::Int(1),
            Value::Int(session.database.into()),
            Value::Int(session.transactions.into()),
            Value::Int(0),
        ]
    });
    let columns = [
        ("session_id", Type::SmallInt),
        ("login_time", Type::Time),
        ("host_name", NAME),
        ("program_name", NAME),
        ("host_process_id", Type::Int),
        ("client_interface_name", Type::Text(Some(32))),
        ("login_name", NAME),
        ("original_login_name", NAME),
        ("status", Type::Text(Some(30))),
        ("last_request_start_time", Type::Time),
        ("last_request_end_time", Type::Time),
        ("is_user_process", Type::Bit),
        ("database_id", Type::SmallInt),
        ("open_transaction_count", Type::Int),
        ("transaction_isolation_level", Type::SmallInt),
    ];
    answer(&columns, rows.collect())
}

fn requests(scope: &Scope<'_>) -> Answer {
    let running = seen(scope).filter(|(_, session)| session.running.is_some());
    let rows = running.map(|(id, session)| {
        let mut lines = scope.world.locks.lines();
        let wait = lines.find(|line| line.since.is_some() && line.owner.session == *id);
        let blocker = scope.world.locks.blockers(*id).first().copied().unwrap_or(0);
        let waited = wait
            .as_ref()
            .and_then(|line| line.since)
            .map_or(0, |since| since.elapsed().as_millis());
        vec![
            Value::Int((*id).into()),
            Value::text(if wait.is_some() { "suspended" } else { "running" }),
            Value::text("SELECT"),
            Value::Time(session.asked),
            Value::Int(blocker.into()),
            wait.as_ref()
                .map_or(Value::Null, |line| Value::Text(format!("LCK_M_{}", line.mode.names().1))),
            Value::Int(i64::try_from(waited).unwrap_or(0)),
            wait.map_or(Value::text(""), |line| {
                let (kind, database, description) = described(scope.world, line.resource);
                Value::Text(format!("{kind}: {database}:{description}"))
            }),
            Value::Int(session.database.into()),
        ]
    });
    let columns = [
        ("session_id", Type::SmallInt),
        ("status", Type::Text(Some(30))),
        ("command", Type::Text(Some(32))),
        ("start_time", Type::Time),
        ("blocking_session_id", Type::SmallInt),
        ("wait_type", Type::Text(Some(60))),
        ("wait_time", Type::Int),
        ("wait_resource", Type::Text(Some(256))),
        ("database_id", Type::SmallInt),
    ];
    answer(&columns, rows.collect())
}
