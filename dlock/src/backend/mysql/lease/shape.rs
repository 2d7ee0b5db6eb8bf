//! The table: made where it may be, and looked at before it is used.

use sqlx::mysql::{MySqlConnection, MySqlRow};

use super::MySql;
use crate::backend::errors::ErrorKind;
use crate::backend::lease::{Failure, TableAccess, ensure_table, misfit, unfit};
use crate::backend::mysql::{literal, text};
use crate::error::Error;

/// `COLUMN_KEY` says what a column begins; an index of several begins with one, too.
const COLUMNS: &str = "SELECT LOWER(c.COLUMN_NAME),LOWER(c.DATA_TYPE),c.DATETIME_PRECISION,\
    LOWER(t.ENGINE),(SELECT COUNT(*) FROM information_schema.STATISTICS s \
    WHERE s.TABLE_SCHEMA=c.TABLE_SCHEMA AND s.TABLE_NAME=c.TABLE_NAME \
    AND s.COLUMN_NAME=c.COLUMN_NAME AND s.SEQ_IN_INDEX=1 AND s.NON_UNIQUE=0 AND NOT EXISTS \
    (SELECT 1 FROM information_schema.STATISTICS o WHERE o.TABLE_SCHEMA=s.TABLE_SCHEMA \
    AND o.TABLE_NAME=s.TABLE_NAME AND o.INDEX_NAME=s.INDEX_NAME AND o.SEQ_IN_INDEX=2)) \
    FROM information_schema.COLUMNS c JOIN information_schema.TABLES t \
    ON t.TABLE_SCHEMA=c.TABLE_SCHEMA AND t.TABLE_NAME=c.TABLE_NAME";

/// A column as the server describes it.
struct Column {
    name: String,
    kind: String,
    precision: Option<String>,
    engine: String,
    /// Its values are unique.
    unique: bool,
}

impl Column {
    fn of(row: &MySqlRow) -> Self {
        Column {
            name: text(row, 0).unwrap_or_default(),
            kind: text(row, 1).unwrap_or_default(),
            precision: text(row, 2),
            engine: text(row, 3).unwrap_or_default(),
            unique: text(row, 4).is_some_and(|count| count != "0"),
        }
    }
}

/// The table, on that connection.
struct Reached<'a>(&'a MySql, &'a mut MySqlConnection);

impl TableAccess for Reached<'_> {
    type Error = Failure;

    async fn is_missing(&mut self, makes: u32) -> Result<bool, Failure> {
        let Reached(mysql, connection) = self;
        let columns = mysql.columns(connection).await?;
        if columns.is_empty() {
            // It may be there, where this user cannot see it.
            return Ok(makes == 0);
        }
        mysql.wrong(&columns).map_or(Ok(false), |what| {
            let table = mysql.sql.table().quoted('`');
            Err(Failure::Failed(unfit(&mysql.label, &table, &what, mysql.remedy())))
        })
    }

    async fn make(&mut self) -> Result<(), (ErrorKind, Failure)> {
        let Reached(mysql, connection) = self;
        let Some(ddl) = mysql.sql.ddl() else {
            return Err((ErrorKind::NoTable, mysql.not_there()));
        };
        mysql.rows(connection, ddl).await.map(drop).map_err(|failure| (ErrorKind::Other, failure))
    }
}

impl MySql {
    /// Makes sure that the table is there and can be used.
    pub(super) async fn table(&self, connection: &mut MySqlConnection) -> Result<(), Failure> {
        ensure_table(Reached(self, connection)).await?;
        self.rows(connection, self.sql.probe()).await.map(drop)
    }

    async fn columns(&self, connection: &mut MySqlConnection) -> Result<Vec<Column>, Failure> {
        let table = self.sql.table();
        let schema = table.schema.as_deref().map_or_else(|| "DATABASE()".into(), literal);
        let name = literal(&table.name);
        let sql = format!("{COLUMNS} WHERE c.TABLE_SCHEMA={schema} AND c.TABLE_NAME={name}");
        Ok(self.rows(connection, sql).await?.iter().map(Column::of).collect())
    }

    /// What two processes could not both rely on.
    fn wrong(&self, columns: &[Column]) -> Option<String> {
        let column = |name: &str| columns.iter().find(|column| column.name == name);
        let engine = columns.first().map_or("", |column| &*column.engine);
        // An engine that is not known by name, as those of other makers, may do.
        if matches!(engine, "myisam" | "aria" | "memory" | "csv" | "archive" | "blackhole") {
            return Some(format!("its engine is {engine}, which has no transactions"));
        }
        let found: Vec<_> = columns.iter().map(|c| (c.name.clone(), c.kind.clone())).collect();
        if let Some(what) = misfit(self.sql.columns(), &found) {
            return Some(what);
        }
        let expires_at = column("expires_at").and_then(|column| column.precision.as_deref());
        if expires_at != Some("6") {
            return Some("its column expires_at has no microseconds".into());
        }
        if !column("name").is_some_and(|column| column.unique) {
            return Some("a name can be in it twice: its column name is no unique key".into());
        }
        None
    }

    fn remedy(&self) -> &'static str {
        match self.sql.ddl() {
            Some(_) => "it must be as dlock::lease::ddl(\"mysql\") says, and is made when missing",
            None => "it must be as Django's migration of database_locks makes it",
        }
    }

    fn not_there(&self) -> Failure {
        Failure::Failed(Error::config(format!(
            "{} has no table {}, or this user no right to it: it is made by django-database-locks \
             (manage.py migrate database_locks), not by dlock",
            self.label,
            self.sql.table().quoted('`')
        )))
    }
}
