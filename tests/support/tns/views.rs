//! The views in which sessions and locks show, and the dictionary.

use std::time::Instant;

use super::fault::Fault;
use super::query::Found;
use super::time;
use super::value::Value;
use super::world::{Container, Resource, World};

fn text(of: impl Into<String>) -> Value {
    Value::text(of)
}

fn int(of: impl TryInto<i64>) -> Value {
    of.try_into().map_or(Value::Null, Value::Int)
}

/// The rows of a view, for a user.
pub(super) fn find(
    world: &World,
    name: &str,
    (user, container): (&str, Container),
) -> Result<Found, Fault> {
    let (plain, is_global) = match name.strip_prefix("GV$") {
        Some(rest) => (format!("V${rest}"), true),
        None => (name.replacen("V_$", "V$", 1), false),
    };
    let hidden = user == "LIMITED" || user == "POWERLESS";
    if hidden
        && (plain.starts_with("V$") || plain.starts_with("DBA_") || plain == "DBMS_LOCK_ALLOCATED")
    {
        return Err(Fault::numbered(942));
    }
    let (mut names, mut rows): (Vec<&str>, Vec<Vec<Value>>) = match plain.as_str() {
        "DUAL" => (vec!["DUMMY"], vec![vec![text("X")]]),
        "DBMS_LOCK_ALLOCATED" => {
            let rows = world.allocated.iter().filter(|((of, _), _)| *of == container).map(
                |((_, name), (id, until))| vec![text(name), Value::Int(*id), Value::Date(*until)],
            );
            (vec!["NAME", "LOCKID", "EXPIRATION"], rows.collect())
        }
        "V$LOCK" => locks(world, container),
        "V$SESSION" => sessions(world, container),
        "V$INSTANCE" => (
            vec![
                "INSTANCE_NUMBER",
                "INSTANCE_NAME",
                "HOST_NAME",
                "VERSION",
                "VERSION_FULL",
                "STARTUP_TIME",
                "STATUS",
                "PARALLEL",
                "DATABASE_STATUS",
                "INSTANCE_ROLE",
                "ACTIVE_STATE",
                "LOGINS",
            ],
            vec![vec![
                int(1),
                text("FREE"),
                text("localhost"),
                text("23.0.0.0.0"),
                text("23.9.0.25.07"),
                Value::Date(world.since),
                text("OPEN"),
                text("NO"),
                text("ACTIVE"),
                text("PRIMARY_INSTANCE"),
                text("NORMAL"),
                text("ALLOWED"),
            ]],
        ),
        "V$DATABASE" => (
            vec!["NAME", "DB_UNIQUE_NAME", "OPEN_MODE", "DATABASE_ROLE", "PROTECTION_MODE"],
            vec![vec![
                text("FREE"),
                text("FREE"),
                text("READ WRITE"),
                text(world.option("role").unwrap_or("PRIMARY")),
                text(world.option("protection").unwrap_or("MAXIMUM PERFORMANCE")),
            ]],
        ),
        "V$PARAMETER" => (
            vec!["NAME", "VALUE"],
            vec![
                vec![text("cluster_database"), text("FALSE")],
                vec![text("sessions"), text("472")],
                vec![text("resource_limit"), text("TRUE")],
            ],
        ),
        "SESSION_PRIVS" => {
            (vec!["PRIVILEGE"], privileges(user).iter().map(|name| vec![text(*name)]).collect())
        }
        "USER_TABLES" | "ALL_TABLES" => (
            vec!["OWNER", "TABLE_NAME"],
            world.tables.keys().map(|table| vec![text(user), text(table)]).collect(),
        ),
        "USER_TAB_COLUMNS" | "ALL_TAB_COLUMNS" | "USER_TAB_COLS" | "ALL_TAB_COLS" => {
            columns(world, user)
        }
        "USER_TAB_PRIVS" | "ALL_TAB_PRIVS" => {
            let row = vec![
                text(user),
                text("SYS"),
                text("DBMS_LOCK"),
                text("EXECUTE"),
                text("PACKAGE"),
                text("SYS"),
            ];
            let columns =
                vec!["GRANTEE", "OWNER", "TABLE_NAME", "PRIVILEGE", "TYPE", "TABLE_SCHEMA"];
            (columns, if user == "POWERLESS" { Vec::new() } else { vec![row] })
        }
        _ => return Err(Fault::numbered(942)),
    };
    if is_global {
        names.insert(0, "INST_ID");
        rows.iter_mut().for_each(|row| row.insert(0, int(1)));
    }
    let names = names.into_iter().map(str::to_owned).collect();
    Ok(Found { names, rows: rows.into_iter().map(|row| (String::new(), row.into())).collect() })
}

fn privileges(user: &str) -> &'static [&'static str] {
    match user {
        "POWERLESS" => &["CREATE SESSION"],
        "LIMITED" => &["CREATE SESSION", "CREATE TABLE"],
        _ => &[
            "CREATE SESSION",
            "CREATE TABLE",
            "ALTER SYSTEM",
            "SELECT ANY DICTIONARY",
            "UNLIMITED TABLESPACE",
        ],
    }
}

fn locks(world: &World, container: Container) -> (Vec<&'static str>, Vec<Vec<Value>>) {
    let mut rows = Vec::new();
    for line in world.locks.lines() {
        let (kind, id) = match line.resource {
            Resource::User(of, _) if !container.sees(*of) => continue,
            Resource::User(_, id) => ("UL", *id),
            Resource::Transaction(number) => ("TX", *number as i64),
        };
        let waits = line.status != "GRANT";
        let held = world.locks.mode(line.resource, line.owner).map_or(0, |mode| mode.number());
        // Who converts has one line, with both modes.
        if !waits
            && world.locks.lines().any(|other| {
                other.resource == line.resource
                    && other.owner == line.owner
                    && other.status == "CONVERT"
            })
        {
            continue;
        }
        let blocks = !waits
            && world
                .locks
                .lines()
                .any(|other| other.resource == line.resource && other.since.is_some());
        let since = line.since.map_or(0, |since| Instant::now().duration_since(since).as_secs());
        let asked = if waits { line.mode.number() } else { 0 };
        rows.push(vec![
            int(line.owner.session),
            text(kind),
            Value::Int(id),
            int(0),
            Value::Int(held),
            Value::Int(asked),
            int(since),
            int(u8::from(blocks)),
            int(container.id()),
        ]);
    }
    (vec!["SID", "TYPE", "ID1", "ID2", "LMODE", "REQUEST", "CTIME", "BLOCK", "CON_ID"], rows)
}

fn sessions(world: &World, container: Container) -> (Vec<&'static str>, Vec<Vec<Value>>) {
    let now = time::now() / 1_000_000;
    let mut rows = Vec::new();
    for (id, session) in &world.sessions {
        if !container.sees(session.container) {
            continue;
        }
        let client = |what: &str| text(session.client.get(what).cloned().unwrap_or_default());
        let blocker =
            world.locks.blockers(*id).first().map_or(Value::Null, |blocker| int(*blocker));
        let status = match (session.is_killed, session.is_active) {
            (true, _) => "KILLED",
            (_, true) => "ACTIVE",
            _ => "INACTIVE",
        };
        rows.push(vec![
            int(*id),
            int(session.serial),
            text(session.user.clone()),
            text(session.user.clone()),
            text(status),
            client("AUTH_SID"),
            client("AUTH_MACHINE"),
            client("AUTH_PROGRAM_NM"),
            client("AUTH_TERMINAL"),
            client("AUTH_PID"),
            text(session.module.clone()),
            text(session.action.clone()),
            text(session.client_info.clone()),
            text(session.identifier.clone()),
            Value::Date(session.since),
            int(now - session.asked),
            text("DEDICATED"),
            text("USER"),
            text(session.container.name()),
            blocker.clone(),
            if blocker.is_null() { Value::Null } else { int(1) },
            text("NONE"),
            int(session.container.id()),
        ]);
    }
    let names = vec![
        "SID",
        "SERIAL#",
        "USERNAME",
        "SCHEMANAME",
        "STATUS",
        "OSUSER",
        "MACHINE",
        "PROGRAM",
        "TERMINAL",
        "PROCESS",
        "MODULE",
        "ACTION",
        "CLIENT_INFO",
        "CLIENT_IDENTIFIER",
        "LOGON_TIME",
        "LAST_CALL_ET",
        "SERVER",
        "TYPE",
        "SERVICE_NAME",
        "BLOCKING_SESSION",
        "BLOCKING_INSTANCE",
        "FAILOVER_TYPE",
        "CON_ID",
    ];
    (names, rows)
}

fn columns(world: &World, user: &str) -> (Vec<&'static str>, Vec<Vec<Value>>) {
    let mut rows = Vec::new();
    for (name, table) in &world.tables {
        for (place, column) in table.columns.iter().enumerate() {
            let length = match column.of {
                super::value::Type::Text(length) | super::value::Type::Bytes(length) => int(length),
                _ => int(22),
            };
            let nullable = if column.not_null { "N" } else { "Y" };
            rows.push(vec![
                text(user),
                text(name),
                text(&column.name),
                text(&column.type_name),
                length,
                text(nullable),
                int(place + 1),
            ]);
        }
    }
    (
        vec![
            "OWNER",
            "TABLE_NAME",
            "COLUMN_NAME",
            "DATA_TYPE",
            "DATA_LENGTH",
            "NULLABLE",
            "COLUMN_ID",
        ],
        rows,
    )
}
