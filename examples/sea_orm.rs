//! Locks beside SeaORM, in three ways that exclude each other.
//!
//! `cargo run --example sea_orm --features sea-orm -- --url postgres://user@host/database` (or the URL
//! in `DLOCK_URL`) has four tasks add to one counter, by SeaORM's entities: read the row, change the
//! model, update. Two of them do it in the first way, one in each of the others:
//!
//! * `beside`: `#[dlock::locked]`, with a locker made from SeaORM's own pool. The lock is held on a
//!   connection of dlock's, and around everything that SeaORM does, its own transactions too, for
//!   they have ended before the lock is let go. It is the simple one, and works with every database.
//! * `inside`: the lock ends with the transaction that writes, so that whoever writes has it, come
//!   what may; also through a pooler. SeaORM keeps the connection of its `DatabaseTransaction` to
//!   itself, so the transaction is one of sqlx, begun on SeaORM's pool (it is the same sqlx), and
//!   [`Inside`] has SeaORM send its queries there.
//!
//! * `lock_in`: the lock is taken in SeaORM's own `DatabaseTransaction`, by the statement that `within`
//!   sends: the lock's number is all that it needs, and `Locker::explain` has that.
//!
//! Then the same without the lock. The counter is in a schema of its own, which is dropped in the end.

use std::process::ExitCode;

use dlock::{Locker, NativeKey};
use sea_orm::prelude::async_trait::async_trait;
use sea_orm::sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction, query_with, raw_sql};
use sea_orm::{
    ActiveModelTrait as _, ConnectOptions, ConnectionTrait, Database, DatabaseConnection,
    DatabaseTransaction, DbBackend, DbErr, EntityTrait as _, ExecResult, QueryResult, RuntimeErr,
    Set, Statement, TransactionTrait as _,
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Mutex;

const TASKS: i64 = 4;
const INCREMENTS: i64 = 100;

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

mod counter {
    #![allow(missing_docs, unreachable_pub, reason = "it is what SeaORM wants it to be")]

    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "counters")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub count: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What must not run twice at once.
async fn add_one(db: &impl ConnectionTrait, id: i32) -> Result<()> {
    let row = counter::Entity::find_by_id(id).one(db).await?.ok_or("no such counter")?;
    let count = row.count;
    let mut row = counter::ActiveModel::from(row);
    row.count = Set(count + 1);
    row.update(db).await?;
    Ok(())
}

#[dlock::locked(key = "counter:<id>", timeout = 60, locker = locker)]
async fn add_one_beside(locker: &Locker, db: &DatabaseConnection, id: i32) -> Result<()> {
    add_one(db, id).await
}

async fn add_one_inside(tx: &mut Transaction<'_, Postgres>, id: i32) -> Result<()> {
    dlock::within(tx).lock(format!("counter:{id}")).acquire().await?;
    add_one(&Inside::of(tx), id).await
}

/// Takes a lock until the end of SeaORM's own transaction. A statement of its own and the transaction's
/// first: what is read after it was written by the holder before, where the transaction is
/// `READ COMMITTED`, the default.
async fn lock_in(tx: &DatabaseTransaction, locker: &Locker, key: &str) -> Result<(), DbErr> {
    let NativeKey::Id(id) = locker.explain(key).native else {
        return Err(DbErr::Custom("is the locker one of postgres://?".into()));
    };
    // The wait has an end: then it is an error, and the transaction is rolled back.
    tx.execute_unprepared("SET LOCAL lock_timeout = '60s'").await?;
    let sql = "SELECT pg_advisory_xact_lock($1)";
    tx.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, [id.into()])).await?;
    Ok(())
}

/// A connection or transaction of sqlx's that SeaORM can query: `Entity::find().one(&inside)`.
struct Inside<'c>(Mutex<&'c mut PgConnection>);

impl<'c> Inside<'c> {
    fn of(conn: &'c mut PgConnection) -> Self {
        Inside(Mutex::new(conn))
    }
}

#[async_trait]
impl ConnectionTrait for Inside<'_> {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let (sql, values) = parts(statement);
        let done = query_with(sql, values).execute(&mut **self.0.lock().await).await;
        done.map(Into::into).map_err(exec)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = AssertSqlSafe(sql.to_owned());
        let done = raw_sql(sql).execute(&mut **self.0.lock().await).await;
        done.map(Into::into).map_err(exec)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let (sql, values) = parts(statement);
        let row = query_with(sql, values).fetch_optional(&mut **self.0.lock().await).await;
        row.map(|row| row.map(Into::into)).map_err(query)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let (sql, values) = parts(statement);
        let rows = query_with(sql, values).fetch_all(&mut **self.0.lock().await).await;
        rows.map(|rows| rows.into_iter().map(Into::into).collect()).map_err(query)
    }
}

/// SeaORM has built it, with a placeholder for every value.
fn parts(statement: Statement) -> (AssertSqlSafe<String>, SqlxValues) {
    let values = statement.values.unwrap_or_else(|| sea_orm::Values(Vec::new()));
    (AssertSqlSafe(statement.sql), SqlxValues(values))
}

fn exec(error: sea_orm::sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(error.into()))
}

fn query(error: sea_orm::sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let url = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--url", url] => Some(url.to_owned()),
        [] => std::env::var("DLOCK_URL").ok(),
        _ => None,
    };
    let Some(url) = url else {
        eprintln!("usage: sea_orm --url postgres://user@host/database");
        return ExitCode::from(2);
    };
    match both_rounds(&url).await {
        Ok((counted, without)) => {
            let all = TASKS * INCREMENTS;
            let (lost, without) = (all - counted, all - without);
            println!(
                "sea_orm: {TASKS} tasks, {all} increments, {counted} counted, {lost} lost (without \
                 the lock: {without} lost)"
            );
            if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("sea_orm: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn both_rounds(url: &str) -> Result<(i64, i64)> {
    let schema = format!("dlock_sea_orm_{}", std::process::id());
    let mut options = ConnectOptions::new(url);
    options.set_schema_search_path(&schema).max_connections(8);
    let db = Database::connect(options).await?;
    let locker = Locker::from_pool(db.get_postgres_connection_pool().clone()).connect().await?;
    db.execute_unprepared(&format!(
        "CREATE SCHEMA {schema};
         CREATE TABLE {schema}.counters (id INT PRIMARY KEY, count BIGINT NOT NULL);
         INSERT INTO {schema}.counters VALUES (1, 0), (2, 0)"
    ))
    .await?;
    let outcome = async {
        println!("{TASKS} tasks add {INCREMENTS} each to one number, under a lock:");
        let counted = round(&db, &locker, 1, true).await?;
        println!("the same without the lock:");
        dlock::set_enabled(false);
        let without = round(&db, &locker, 2, false).await?;
        Ok((counted, without))
    };
    let outcome = outcome.await;
    db.execute_unprepared(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    locker.close().await;
    outcome
}

/// Lets four tasks count, and says what they come to.
async fn round(db: &DatabaseConnection, locker: &Locker, id: i32, locked: bool) -> Result<i64> {
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let (db, locker) = (db.clone(), locker.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..INCREMENTS {
                if task % 2 == 0 {
                    add_one_beside(&locker, &db, id).await?;
                } else if task == 1 {
                    let tx = db.begin().await?;
                    if locked {
                        lock_in(&tx, &locker, &format!("counter:{id}")).await?;
                    }
                    add_one(&tx, id).await?;
                    tx.commit().await?;
                } else {
                    let mut tx = db.get_postgres_connection_pool().begin().await?;
                    add_one_inside(&mut tx, id).await?;
                    tx.commit().await?;
                }
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let row = counter::Entity::find_by_id(id).one(db).await?.ok_or("no such counter")?;
    println!("  {} of {}", row.count, TASKS * INCREMENTS);
    Ok(row.count)
}
