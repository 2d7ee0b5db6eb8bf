//! The statements on the table `dlock_leases`.
//!
//! `SYSUTCDATETIME()` is the time when its statement began, on the server's clock. Rows that are read
//! to be written are locked (`HOLDLOCK`, or an `UPDATE`), so snapshot isolation changes nothing.

use std::fmt::Write as _;
use std::time::Duration;

use crate::backend::lease::{Table, ddl, prune};
use crate::text::hex;

const NOW: &str = "SYSUTCDATETIME()";
/// When a lease ends: `s.seconds` and `s.micros` from now; never, when these are negative; when they
/// are zero, it has ended.
const END: &str = "CASE WHEN s.seconds<0 THEN CAST('9999-12-31' AS datetime2) \
    WHEN s.seconds=0 AND s.micros=0 THEN CAST('1970-01-01' AS datetime2) \
    ELSE DATEADD(microsecond,s.micros,DATEADD(second,s.seconds,SYSUTCDATETIME())) END";
/// The same, or when the row ends, if that is later.
const NO_EARLIER: &str = "CASE WHEN s.seconds<0 THEN CAST('9999-12-31' AS datetime2) \
    WHEN t.expires_at>DATEADD(microsecond,s.micros,DATEADD(second,s.seconds,SYSUTCDATETIME())) \
    THEN t.expires_at \
    ELSE DATEADD(microsecond,s.micros,DATEADD(second,s.seconds,SYSUTCDATETIME())) END";
/// The token of a row that is new: microseconds of the server's clock since 2020. A row that has been
/// deleted had fewer grants than microseconds.
const FIRST_FENCE: &str = "DATEDIFF_BIG(microsecond,'2020-01-01',SYSUTCDATETIME())";
/// A row of `s` that may be any grant of its owner has the fence 0.
const OURS: &str = "t.name=s.name AND t.owner=s.owner AND (s.fence=0 OR t.fence=s.fence)";

/// How many leases a statement is about at most: it may have 2,100 parameters.
pub(super) const LEASES_MAX: usize = 200;
/// How many are renewed at once: then they stand in the statement, which takes time to compile.
pub(super) const RENEWALS_MAX: usize = 1000;

/// The statements on one table.
pub(super) struct LeaseSql {
    /// Between brackets.
    table: String,
    ddl: String,
}

impl LeaseSql {
    pub(super) fn new(table: &Table) -> Self {
        LeaseSql { table: quoted(table), ddl: ddl::mssql(table) }
    }

    /// The table's name, as it stands in a statement.
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// What makes the table, if it is not there.
    pub(super) fn ddl(&self) -> &str {
        &self.ddl
    }

    /// The columns of the table and their types, a row for each; none if there is no such table.
    pub(super) fn columns(&self) -> String {
        format!(
            "SELECT c.COLUMN_NAME,c.DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS c \
             INNER JOIN sys.tables t ON t.name=c.TABLE_NAME \
             INNER JOIN sys.schemas s ON s.schema_id=t.schema_id AND s.name=c.TABLE_SCHEMA \
             WHERE t.object_id=OBJECT_ID(N'{}')",
            self.table.replace('\'', "''")
        )
    }

    /// Compiles what will be asked, without doing it: so it is known that it may be.
    pub(super) fn probe(&self) -> String {
        let name = self.table.replace('\'', "''");
        let right = |right| format!("HAS_PERMS_BY_NAME(N'{name}','OBJECT','{right}')");
        format!("SELECT {},{},{}", right("SELECT"), right("INSERT"), right("UPDATE"))
    }

    /// Gives back: parameters are name, owner, fence, seconds and micros of each. The names of rows
    /// that were still ours come back.
    pub(super) fn release(&self, first: usize, count: usize) -> String {
        format!(
            "UPDATE t SET owner=0x,expires_at={END} OUTPUT inserted.name FROM {} t INNER JOIN {} \
             ON {OURS};",
            self.table,
            values("name,owner,fence,seconds,micros", first, count)
        )
    }

    /// Renews, with the same parameters. What has run out is not brought back: somebody may have
    /// looked already.
    pub(super) fn renew(&self, count: usize) -> String {
        self.renew_rows(&values("name,owner,fence,seconds,micros", 1, count))
    }

    /// The same without parameters, where they would be too many: name, owner, fence, and how long.
    pub(super) fn renew_many<'a>(
        &self,
        leases: impl Iterator<Item = (&'a [u8], &'a [u8], i64, Duration)>,
    ) -> String {
        let mut rows = String::from("(VALUES ");
        for (index, (name, owner, fence, lasts)) in leases.enumerate() {
            let (comma, (seconds, micros)) = (if index == 0 { "" } else { "," }, time(lasts));
            // Writing to a String cannot fail.
            let _ = write!(
                rows,
                "{comma}({},{},{fence},{seconds},{micros})",
                binary(name),
                binary(owner)
            );
        }
        rows.push_str(") s(name,owner,fence,seconds,micros)");
        self.renew_rows(&rows)
    }

    fn renew_rows(&self, rows: &str) -> String {
        format!(
            "UPDATE t SET expires_at={NO_EARLIER} OUTPUT inserted.name FROM {} t INNER JOIN {rows} \
             ON {OURS} WHERE t.expires_at>{NOW};",
            self.table,
        )
    }

    /// Compare and set: parameters are name, owner, seconds and micros of each. Name and fence of
    /// what was taken come back, and then the names of all with the microseconds that they last.
    pub(super) fn take(&self, first: usize, count: usize) -> String {
        let source = values("name,owner,seconds,micros", first, count);
        let names: Vec<String> = (0..count).map(|n| format!("@P{}", first + 4 * n)).collect();
        format!(
            "MERGE {0} WITH (HOLDLOCK) AS t USING {source} ON t.name=s.name \
             WHEN MATCHED AND (t.expires_at<={NOW} OR t.owner=s.owner) THEN \
             UPDATE SET owner=s.owner,fence=t.fence+1,acquired_at={NOW},expires_at={NO_EARLIER} \
             WHEN NOT MATCHED THEN INSERT (name,owner,fence,acquired_at,expires_at) \
             VALUES (s.name,s.owner,{FIRST_FENCE},{NOW},{END}) \
             OUTPUT inserted.name,inserted.fence;\
             SELECT name,DATEDIFF_BIG(microsecond,{NOW},expires_at) FROM {0} WHERE name IN ({1});",
            self.table,
            names.join(",")
        )
    }

    /// Draws a fencing token for each name whose lock was granted: pairs of a code's variable and the
    /// name's parameter. Name and token come back. A row that is somebody's lease stays it.
    pub(super) fn draw(&self, locks: &[(usize, usize)]) -> String {
        let rows: Vec<String> =
            locks.iter().map(|(code, name)| format!("(@r{code},@P{name})")).collect();
        format!(
            "MERGE {} WITH (HOLDLOCK) AS t USING (SELECT v.name FROM (VALUES {}) v(code,name) \
             WHERE v.code>=0) AS s ON t.name=s.name \
             WHEN MATCHED THEN UPDATE SET fence=t.fence+1 \
             WHEN NOT MATCHED THEN INSERT (name,owner,fence,acquired_at,expires_at) \
             VALUES (s.name,0x,{FIRST_FENCE},{NOW},CAST('2000-01-01' AS datetime2)) \
             OUTPUT inserted.name,inserted.fence;",
            self.table,
            rows.join(",")
        )
    }

    /// Whether a lease has not run out: parameters are name, owner and fence.
    pub(super) fn check(&self) -> String {
        format!(
            "SELECT 1 FROM {} WHERE name=@P1 AND owner=@P2 AND (@P3=0 OR fence=@P3) \
             AND expires_at>{NOW}",
            self.table
        )
    }

    /// Gives one to another owner, if it has not run out: parameters are name, owner, fence, seconds, micros
    /// and the next owner. The fence comes back.
    pub(super) fn own(&self) -> String {
        format!(
            "UPDATE t SET owner=@P6,expires_at={END} OUTPUT inserted.fence FROM {} t INNER JOIN {} \
             ON {OURS} WHERE t.expires_at>{NOW};",
            self.table,
            values("name,owner,fence,seconds,micros", 1, 1)
        )
    }

    /// Removes rows that nobody has had for this long; their names come back. Those that somebody works
    /// on are left alone.
    pub(super) fn prune(&self, older_than: Duration) -> String {
        let micros = prune::micros(older_than);
        let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
        let age = format!("DATEADD(microsecond,-{rest},DATEADD(second,-{seconds},{NOW}))");
        format!(
            "DELETE TOP ({}) FROM {} WITH (READPAST) OUTPUT deleted.name WHERE expires_at<={age} \
             AND acquired_at<={age} AND fence<{FIRST_FENCE}-{micros};",
            prune::ROWS_MAX,
            self.table
        )
    }

    /// Counts the rows, to one more than are many.
    pub(super) fn count(&self) -> String {
        let most = prune::ROWS_MANY + 1;
        format!(
            "SELECT COUNT_BIG(*) FROM (SELECT TOP ({most}) name FROM {}) AS rows_of_it",
            self.table
        )
    }

    /// Name, owner, fence and age (in microseconds) of what is held: the name `@P1`, or all.
    pub(super) fn status(&self, one: bool) -> String {
        format!(
            "SELECT name,owner,fence,DATEDIFF_BIG(microsecond,acquired_at,{NOW}) FROM {} \
             WHERE expires_at>{NOW}{} ORDER BY name",
            self.table,
            if one { " AND name=@P1" } else { "" }
        )
    }

    /// To be run by hand: a row for the holder.
    pub(super) fn explain(&self, name: &str) -> String {
        let hex = binary(name.as_bytes());
        format!(
            "SELECT owner, fence, acquired_at, expires_at FROM {} \
             WHERE name = {hex} AND expires_at > {NOW}",
            self.table
        )
    }
}

/// Bytes, as they stand in a statement.
fn binary(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |mut literal, byte| {
        hex(*byte, &mut literal);
        literal
    })
}

fn quoted(table: &Table) -> String {
    let quoted = |name: &str| format!("[{}]", name.replace(']', "]]"));
    match &table.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&table.name)),
        None => quoted(&table.name),
    }
}

/// Rows of parameters, from this one on.
fn values(columns: &str, first: usize, count: usize) -> String {
    let width = columns.split(',').count();
    let mut sql = String::from("(VALUES ");
    for row in 0..count {
        sql.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..width {
            let comma = if column == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{comma}@P{}", first + row * width + column);
        }
        sql.push(')');
    }
    // Writing to a String cannot fail.
    let _ = write!(sql, ") s({columns})");
    sql
}

/// Seconds and microseconds, rounded up; negative for what has no end.
pub(super) fn time(lasts: Duration) -> (i32, i32) {
    let micros = lasts.as_nanos().div_ceil(1000);
    let seconds = i32::try_from(micros / 1_000_000);
    match (seconds, i32::try_from(micros % 1_000_000)) {
        (Ok(seconds), Ok(micros)) => (seconds, micros),
        // 68 years and more.
        _ => (-1, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_have_an_end() {
        assert_eq!(time(Duration::from_nanos(1_500_000_001)), (1, 500_001));
        assert_eq!(time(Duration::ZERO), (0, 0));
        assert_eq!(time(Duration::MAX), (-1, 0));
        assert_eq!(time(Duration::from_secs(1 << 31)), (-1, 0));
    }

    #[test]
    fn parameters_are_counted_through() {
        let table = Table { schema: Some("ops".into()), name: "a]b".into(), django: false };
        let sql = LeaseSql::new(&table);
        let take = sql.take(6, 2);
        assert!(take.contains("MERGE [ops].[a]]b] WITH (HOLDLOCK)"), "{take}");
        assert!(take.contains("(VALUES (@P6,@P7,@P8,@P9),(@P10,@P11,@P12,@P13)) s("), "{take}");
        assert!(take.contains("name IN (@P6,@P10)"), "{take}");
    }
}
