//! The views in which a database shows what is in it.

use super::scope::{Answer, Scope};
use super::value::{Type, Value};
use super::views::{NAME, answer};
use super::world::World;

pub(super) fn databases(world: &World) -> Answer {
    let rows = (1..).zip(&world.databases).filter(|(_, database)| !database.name.is_empty());
    let row = |(id, database): (i64, &super::world::Database)| {
        let is = |option: &str| Value::bit(world.is(option));
        let state = Value::text(if world.is("snapshot") { "ON" } else { "OFF" });
        let compatibility = Value::Int(160);
        let name = Value::text(&database.name);
        vec![
            name,
            Value::Int(id),
            is("snapshot"),
            state,
            is("rcsi"),
            is("read_only"),
            Value::text("ONLINE"),
            compatibility,
            Value::text("DISABLED"),
        ]
    };
    let columns = [
        ("name", NAME),
        ("database_id", Type::Int),
        ("snapshot_isolation_state", Type::TinyInt),
        ("snapshot_isolation_state_desc", Type::Text(Some(60))),
        ("is_read_committed_snapshot_on", Type::Bit),
        ("is_read_only", Type::Bit),
        ("state_desc", Type::Text(Some(60))),
        ("compatibility_level", Type::TinyInt),
        ("delayed_durability_desc", Type::Text(Some(60))),
    ];
    answer(&columns, rows.map(row).collect())
}

pub(super) fn tables(scope: &Scope<'_>) -> Answer {
    let rows = (1000..).zip(scope.world.tables(scope.locals.database)).map(|(id, table)| {
        vec![Value::text(&table.name), Value::Int(id), Value::Int(1), Value::text("U ")]
    });
    let columns = [
        ("name", NAME),
        ("object_id", Type::Int),
        ("schema_id", Type::Int),
        ("type", Type::Text(Some(2))),
    ];
    answer(&columns, rows.collect())
}

/// A type's name, and the length of what it holds in bytes.
fn type_name(of: Type) -> (&'static str, i64) {
    let bytes = |length: Option<usize>, each: i64| {
        length.map_or(-1, |length| i64::try_from(length).unwrap_or(0) * each)
    };
    match of {
        Type::Bit => ("bit", 1),
        Type::TinyInt => ("tinyint", 1),
        Type::SmallInt => ("smallint", 2),
        Type::Int => ("int", 4),
        Type::BigInt => ("bigint", 8),
        Type::Float => ("float", 8),
        Type::Text(length) => ("nvarchar", bytes(length, 2)),
        Type::Bytes(length) => ("varbinary", bytes(length, 1)),
        Type::Time => ("datetime2", 8),
    }
}

fn collation(column: &super::ast::ColumnDef) -> Value {
    match column.of {
        Type::Text(_) if column.binary => Value::text("Latin1_General_100_BIN2"),
        Type::Text(_) => Value::text("SQL_Latin1_General_CP1_CI_AS"),
        _ => Value::Null,
    }
}

pub(super) fn columns(scope: &Scope<'_>) -> Answer {
    let tables = (1000..).zip(scope.world.tables(scope.locals.database));
    let rows = tables.flat_map(|(id, table)| {
        (1..).zip(&table.def.columns).map(move |(place, column)| {
            let length = Value::Int(type_name(column.of).1);
            let (nullable, collation) = (Value::bit(column.nullable), collation(column));
            vec![
                Value::Int(id),
                Value::text(&column.name),
                Value::Int(place),
                length,
                nullable,
                collation,
            ]
        })
    });
    let columns = [
        ("object_id", Type::Int),
        ("name", NAME),
        ("column_id", Type::Int),
        ("max_length", Type::SmallInt),
        ("is_nullable", Type::Bit),
        ("collation_name", NAME),
    ];
    answer(&columns, rows.collect())
}

pub(super) fn schema_tables(scope: &Scope<'_>) -> Answer {
    let database = Value::text(scope.world.database_name(scope.locals.database));
    let rows = scope.world.tables(scope.locals.database).iter().map(|table| {
        vec![
            database.clone(),
            Value::text("dbo"),
            Value::text(&table.name),
            Value::text("BASE TABLE"),
        ]
    });
    let columns = [
        ("TABLE_CATALOG", NAME),
        ("TABLE_SCHEMA", NAME),
        ("TABLE_NAME", NAME),
        ("TABLE_TYPE", NAME),
    ];
    answer(&columns, rows.collect())
}

pub(super) fn schema_columns(scope: &Scope<'_>) -> Answer {
    let rows = scope.world.tables(scope.locals.database).iter().flat_map(|table| {
        (1..).zip(&table.def.columns).map(|(place, column)| {
            let (of, length) = type_name(column.of);
            let length = if let Type::Text(Some(units)) = column.of {
                i64::try_from(units).unwrap_or(0)
            } else {
                length
            };
            let nullable = Value::text(if column.nullable { "YES" } else { "NO" });
            vec![
                Value::text("dbo"),
                Value::text(&table.name),
                Value::text(&column.name),
                Value::Int(place),
                nullable,
                Value::text(of),
                if matches!(column.of, Type::Text(_) | Type::Bytes(_)) {
                    Value::Int(length)
                } else {
                    Value::Null
                },
                collation(column),
            ]
        })
    });
    let columns = [
        ("TABLE_SCHEMA", NAME),
        ("TABLE_NAME", NAME),
        ("COLUMN_NAME", NAME),
        ("ORDINAL_POSITION", Type::Int),
        ("IS_NULLABLE", Type::Text(Some(3))),
        ("DATA_TYPE", NAME),
        ("CHARACTER_MAXIMUM_LENGTH", Type::Int),
        ("COLLATION_NAME", NAME),
    ];
    answer(&columns, rows.collect())
}
