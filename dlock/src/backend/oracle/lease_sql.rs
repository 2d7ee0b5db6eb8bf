//! The statements on the table `dlock_leases`.
//!
//! As for session locks there is one block, which reads orders and writes answers. `SYSTIMESTAMP` is
//! the time when it is called, on the server's clock: it is asked when the row is locked. Rows are
//! waited for shortly; who gets none does nothing at all.

use std::fmt::Write as _;
use std::time::Duration;

use crate::backend::lease::{Lease, Owner, Table, ddl, prune};
use crate::text::hex;

/// How many leases a block is about at most: so many names and owners of the greatest length go in.
pub(super) const LEASES_MAX: usize = 28;
/// The fence of a row that is new: microseconds of the server's clock since 2020. A row
/// that has been deleted had fewer grants than microseconds.
const FIRST_FENCE: &str = "micros(SYS_EXTRACT_UTC(SYSTIMESTAMP), TIMESTAMP '2020-01-01 00:00:00')";
/// When a lease is over that is not held, and that of a session lock's token.
const OVER: &str = "TIMESTAMP '1970-01-01 00:00:00'";
/// The microseconds between two times.
const MICROS: &str = "FUNCTION micros(later IN TIMESTAMP, earlier IN TIMESTAMP) RETURN NUMBER IS \
    span INTERVAL DAY(9) TO SECOND(6) := later - earlier; BEGIN \
    RETURN ((EXTRACT(DAY FROM span) * 24 + EXTRACT(HOUR FROM span)) * 60 + EXTRACT(MINUTE FROM span)) \
    * 60000000 + ROUND(EXTRACT(SECOND FROM span) * 1000000); END; ";
/// How the empty key's row is called: an empty string is NULL. No other key's row is called so.
const EMPTY: &str = "%z";

/// The statements on one table.
pub(super) struct LeaseSql {
    /// Between quotes.
    table: String,
    /// The same, of the schema that is current where none is named.
    schema: Option<String>,
    name: String,
    ddl: String,
}

impl LeaseSql {
    pub(super) fn new(table: &Table) -> Self {
        let table = ddl::upper(table);
        LeaseSql {
            table: table.quoted('"'),
            schema: table.schema.as_deref().map(literal),
            name: literal(&table.name),
            ddl: ddl::oracle(&table),
        }
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
        let current = "SYS_CONTEXT('USERENV','CURRENT_SCHEMA')";
        format!(
            "SELECT column_name, data_type FROM all_tab_columns WHERE owner = {} AND table_name = {}",
            self.schema.as_deref().unwrap_or(current),
            self.name
        )
    }

    /// Does nothing, and needs every right that is needed.
    pub(super) fn probe(&self) -> String {
        format!(
            "DECLARE token NUMBER; {}BEGIN IF token IS NOT NULL THEN draw(NULL, token); END IF; END;",
            self.draw()
        )
    }

    /// A procedure that draws a fencing token. A row that is somebody's lease stays it.
    pub(super) fn draw(&self) -> String {
        let table = &self.table;
        format!(
            "{MICROS}\
             PROCEDURE draw(row_name IN RAW, token OUT NUMBER) IS PRAGMA AUTONOMOUS_TRANSACTION; \
             first NUMBER := {FIRST_FENCE}; BEGIN \
             BEGIN SELECT fence + 1 INTO token FROM {table} WHERE name = row_name FOR UPDATE WAIT 2; \
             UPDATE {table} SET fence = token WHERE name = row_name; \
             EXCEPTION WHEN NO_DATA_FOUND THEN token := first; \
             INSERT INTO {table} (name, owner, fence, acquired_at, expires_at) \
             VALUES (row_name, NULL, first, SYS_EXTRACT_UTC(SYSTIMESTAMP), {OVER}); END; \
             COMMIT; END; "
        )
    }

    /// Gives back (G), takes (T), renews (R), gives to another owner (O) and checks (C): all of it, or
    /// nothing.
    ///
    /// A line is the order, the name, the owner, the fence (0: any), the microseconds that it lasts
    /// (less than none: for ever), and the next owner. The answer is 0 or 1; of a take, T and the
    /// fence, or H and how long it is held by somebody else; of another owner, T and the fence. What
    /// has run out is not renewed: somebody may have looked already.
    pub(super) fn block(&self) -> String {
        let table = &self.table;
        let row = "SELECT RAWTOHEX(owner), fence, expires_at INTO owner_now, fence_now, end_now";
        format!(
            "{orders}what VARCHAR2(1); row_name RAW(255); owner_of VARCHAR2(510); fence_of NUMBER; \
             lasts NUMBER; owner_now VARCHAR2(510); fence_now NUMBER; end_now TIMESTAMP(6); \
             now_is TIMESTAMP(6); lasts_until TIMESTAMP(6); found BOOLEAN; answer VARCHAR2(100); \
             {MICROS}\
             PROCEDURE tell_time IS BEGIN now_is := SYS_EXTRACT_UTC(SYSTIMESTAMP); \
             IF lasts < 0 THEN lasts_until := TIMESTAMP '9999-12-31 00:00:00'; \
             ELSIF lasts = 0 THEN lasts_until := {OVER}; \
             ELSE lasts_until := now_is + NUMTODSINTERVAL(lasts / 1000000, 'SECOND'); END IF; END; \
             PROCEDURE see IS BEGIN {row} FROM {table} WHERE name = row_name; \
             found := TRUE; tell_time; \
             EXCEPTION WHEN NO_DATA_FOUND THEN found := FALSE; END; \
             PROCEDURE hold IS BEGIN {row} FROM {table} WHERE name = row_name FOR UPDATE WAIT 2; \
             found := TRUE; tell_time; \
             EXCEPTION WHEN NO_DATA_FOUND THEN found := FALSE; END; \
             FUNCTION is_ours RETURN BOOLEAN IS BEGIN RETURN found AND owner_now IS NOT NULL \
             AND owner_now = owner_of AND (fence_of = 0 OR fence_now = fence_of); END; \
             FUNCTION is_held RETURN BOOLEAN IS BEGIN RETURN found AND end_now > now_is \
             AND (owner_now IS NULL OR owner_now <> owner_of); END; \
             PROCEDURE take IS BEGIN see; \
             IF found AND NOT is_held THEN hold; END IF; \
             IF NOT found THEN tell_time; fence_now := {FIRST_FENCE}; \
             BEGIN INSERT INTO {table} (name, owner, fence, acquired_at, expires_at) \
             VALUES (row_name, HEXTORAW(owner_of), fence_now, now_is, lasts_until); \
             answer := 'T' || fence_now; RETURN; \
             EXCEPTION WHEN DUP_VAL_ON_INDEX THEN hold; END; END IF; \
             IF NOT found THEN answer := 'H0'; RETURN; END IF; \
             IF is_held THEN answer := 'H' || micros(end_now, now_is); RETURN; END IF; \
             fence_now := fence_now + 1; \
             UPDATE {table} SET owner = HEXTORAW(owner_of), fence = fence_now, acquired_at = now_is, \
             expires_at = GREATEST(end_now, lasts_until) WHERE name = row_name; \
             answer := 'T' || fence_now; END; \
             BEGIN {NEXT_ORDER}\
             answer := '0'; what := SUBSTR(line, 1, 1); \
             row_name := HEXTORAW(REGEXP_SUBSTR(line, '[^ ]+', 1, 2)); \
             owner_of := REGEXP_SUBSTR(line, '[^ ]+', 1, 3); \
             fence_of := TO_NUMBER(REGEXP_SUBSTR(line, '[^ ]+', 1, 4)); \
             lasts := TO_NUMBER(REGEXP_SUBSTR(line, '[^ ]+', 1, 5)); \
             IF what = 'T' THEN take; \
             ELSIF what = 'C' THEN see; \
             IF is_ours AND end_now > now_is THEN answer := '1'; END IF; \
             ELSIF what IN ('R', 'O') THEN hold; \
             IF is_ours AND end_now > now_is THEN answer := '1'; \
             IF what = 'O' THEN owner_of := REGEXP_SUBSTR(line, '[^ ]+', 1, 6); \
             answer := 'T' || fence_now; \
             ELSE lasts_until := GREATEST(end_now, lasts_until); END IF; \
             UPDATE {table} SET owner = HEXTORAW(owner_of), expires_at = lasts_until \
             WHERE name = row_name; END IF; \
             ELSIF what = 'G' THEN hold; \
             IF is_ours THEN \
             UPDATE {table} SET owner = NULL, expires_at = lasts_until WHERE name = row_name; \
             answer := '1'; END IF; END IF; \
             answers := answers || answer || CHR(10); \
             END LOOP; \
             COMMIT; :answers := answers; \
             EXCEPTION WHEN OTHERS THEN ROLLBACK; RAISE; END;",
            orders = super::session_sql::DECLARE_ORDERS,
            NEXT_ORDER = super::session_sql::NEXT_ORDER,
        )
    }

    /// Removes rows that nobody has had for this long, and says how many. Those that somebody works on
    /// are left alone.
    pub(super) fn prune(&self, older_than: Duration) -> String {
        format!(
            "DECLARE removed PLS_INTEGER := 0; unused_since TIMESTAMP(6); high_water NUMBER; {MICROS}\
             BEGIN unused_since := SYS_EXTRACT_UTC(SYSTIMESTAMP) \
             - NUMTODSINTERVAL({micros} / 1000000, 'SECOND'); \
             high_water := {FIRST_FENCE} - {micros}; \
             FOR unused IN (SELECT name FROM {table} WHERE expires_at <= unused_since \
             AND acquired_at <= unused_since AND fence < high_water FOR UPDATE SKIP LOCKED) LOOP \
             DELETE FROM {table} WHERE name = unused.name; \
             removed := removed + 1; EXIT WHEN removed >= {most}; END LOOP; \
             COMMIT; :removed := removed; \
             EXCEPTION WHEN OTHERS THEN ROLLBACK; RAISE; END;",
            micros = prune::micros(older_than),
            most = prune::ROWS_MAX,
            table = self.table,
        )
    }

    /// Counts the rows, to one more than are many.
    pub(super) fn count(&self) -> String {
        format!(
            "SELECT TO_CHAR(COUNT(*)) FROM (SELECT name FROM {} WHERE ROWNUM <= {})",
            self.table,
            prune::ROWS_MANY + 1
        )
    }

    /// Name, owner, fence and age (in microseconds) of what is held: of this name, or all.
    pub(super) fn status(&self, name: Option<&str>) -> String {
        let one = name.map(|name| format!(" AND name = {}", raw(name))).unwrap_or_default();
        format!(
            "SELECT RAWTOHEX(name), RAWTOHEX(owner), TO_CHAR(fence), TO_CHAR(\
             EXTRACT(DAY FROM age) * 86400 + EXTRACT(HOUR FROM age) * 3600 \
             + EXTRACT(MINUTE FROM age) * 60 + FLOOR(EXTRACT(SECOND FROM age))) FROM (\
             SELECT name, owner, fence, SYS_EXTRACT_UTC(SYSTIMESTAMP) - acquired_at age FROM {} \
             WHERE expires_at > SYS_EXTRACT_UTC(SYSTIMESTAMP){one}) ORDER BY 1",
            self.table
        )
    }

    /// To be run by hand: a row for the holder.
    pub(super) fn explain(&self, name: &str) -> String {
        format!(
            "SELECT UTL_RAW.CAST_TO_VARCHAR2(owner) AS owner, fence, acquired_at, expires_at FROM {} \
             WHERE name = {} AND expires_at > SYS_EXTRACT_UTC(SYSTIMESTAMP)",
            self.table,
            raw(name)
        )
    }
}

/// An order about a lease, as a line.
pub(super) fn order(what: char, lease: &Lease, orders: &mut String) {
    line(what, lease, None, orders);
}

/// The order that gives a lease to another owner.
pub(super) fn own(lease: &Lease, to: &Owner) -> String {
    let mut orders = String::new();
    line('O', lease, Some(to), &mut orders);
    orders
}

fn line(what: char, lease: &Lease, to: Option<&Owner>, orders: &mut String) {
    // As the server shows it.
    let put = |text: &str, orders: &mut String| {
        orders.push(' ');
        for byte in text.bytes() {
            // Writing to a String cannot fail.
            let _ = write!(orders, "{byte:02X}");
        }
    };
    orders.push(what);
    put(row_name(&lease.name()), orders);
    put(lease.owner.as_str(), orders);
    let micros = lease.lasts.as_nanos().div_ceil(1000);
    // A hundred years and more have no end.
    let micros = i64::try_from(micros).ok().filter(|micros| *micros < 3_000_000_000_000_000);
    let (fence, micros) = (lease.fence.unwrap_or(0), micros.unwrap_or(-1));
    // Writing to a String cannot fail.
    let _ = write!(orders, " {fence} {micros}");
    if let Some(to) = to {
        put(to.as_str(), orders);
    }
    orders.push('\n');
}

/// A name, as it stands in a statement.
fn raw(name: &str) -> String {
    let mut literal = String::from("HEXTORAW('");
    row_name(name).bytes().for_each(|byte| hex(byte, &mut literal));
    literal.push_str("')");
    literal
}

/// What the row of a name is called.
pub(super) fn row_name(name: &str) -> &str {
    if name.is_empty() { EMPTY } else { name }
}

/// The way back.
pub(super) fn name_of(row: String) -> String {
    if row == EMPTY { String::new() } else { row }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::oracle::session_sql::ORDERS_MAX;
    use crate::spec::native::NativeKey;

    #[test]
    fn orders_are_lines_with_an_end_or_none() {
        let owner = Owner::Named("\u{1}z".into());
        let key = NativeKey::Name("k".into());
        let lasts = Duration::from_nanos(1_500_000_001);
        let mut orders = String::new();
        let lease = Lease { key, owner, fence: None, lasts };
        order('T', &lease, &mut orders);
        order('R', &Lease { fence: Some(7), lasts: Duration::MAX, ..lease.clone() }, &mut orders);
        let empty = NativeKey::Name(String::new());
        order('G', &Lease { key: empty, lasts: Duration::ZERO, ..lease.clone() }, &mut orders);
        assert_eq!(orders, "T 6B 017A 0 1500001\nR 6B 017A 7 -1\nG 257A 017A 0 0\n");
        let to = Owner::Named("b".into());
        assert_eq!(own(&lease, &to), "O 6B 017A 0 1500001 62\n");
        const { assert!(LEASES_MAX * (4 + 255 * 4 + 20 + 20) <= ORDERS_MAX) };
    }

    #[test]
    fn names_are_those_that_need_no_quotes() {
        let table = Table { schema: Some("ops".into()), name: "leases".into(), django: false };
        let sql = LeaseSql::new(&table);
        assert_eq!(sql.table(), "\"OPS\".\"LEASES\"");
        assert!(sql.columns().ends_with("owner = 'OPS' AND table_name = 'LEASES'"));
        assert!(sql.explain("it's").contains("HEXTORAW('69742773')"));
    }
}
