//! The statements on the table `dlock_leases`.
//!
//! `UTC_TIMESTAMP(6)` is the time when its statement began, on the server's clock and whatever
//! `time_zone` the session has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::lease::answers::{AFTER, BEFORE, IS_READ_ONLY};
use crate::backend::lease::{Columns, Lease, Owner, Table, ddl, prune};
use crate::backend::mysql::{FIRST_FENCE, literal};

pub(crate) const NOW: &str = "UTC_TIMESTAMP(6)";
/// Whether a row can be taken, where it is asked for already.
const FREE: &str = "(expires_at<=UTC_TIMESTAMP(6) OR owner=VALUES(owner))";
/// What is free has run out then.
const PAST: &str = "'1970-01-01'";
/// For ever.
const NEVER: &str = "'9999-12-31'";

/// The statements on a table of some shape. What reads rows of [`super::lease::answers`] has no other rows.
pub(crate) trait LeaseSql: Send + Sync + 'static {
    /// The table, in quotes.
    fn table(&self) -> &Table;
    /// What columns it must have, and what types those can be of.
    fn columns(&self) -> Columns;
    /// Whether it has fences.
    fn has_fences(&self) -> bool;
    /// What makes the table, if that is for us to do.
    fn ddl(&self) -> Option<String>;
    /// Compiles what will be asked, without doing it: so it is known that it may be.
    fn probe(&self) -> String;
    /// Takes one, if that can be said in a statement whose `LAST_INSERT_ID` is the answer.
    fn take_one(&self, lease: &Lease) -> Option<String>;
    /// Gives back and takes.
    fn apply(&self, releases: &[Lease], takes: &[Lease]) -> String;
    /// Renews.
    fn renew(&self, leases: &[Lease]) -> String;
    /// Reads one.
    fn check(&self, lease: &Lease) -> String;
    /// Gives one to another owner, if it has not run out, and reads it.
    fn own(&self, lease: &Lease, to: &Owner) -> String;
    /// The names of rows that nobody has had for this long, which are locked until the end of the
    /// transaction; `None` where dlock removes no rows.
    fn old(&self, older_than: Duration, from: &str) -> Option<String>;
    /// Removes the rows of these names, which are locked already, and ends the transaction.
    fn remove(&self, names: &[String]) -> String;
    /// Name, owner, fence and age (in microseconds) of what is held: this name, or all.
    fn status(&self, name: Option<&str>) -> String;
    /// A statement, for people, that finds the holder of a key.
    fn explain(&self) -> Box<dyn Fn(&str) -> String + Send + Sync>;
}

/// See the [module](self).
pub(crate) struct OwnTable {
    table: Table,
    name: String,
    /// What stands before and after a value that is to be written: it is NULL, which no column can
    /// be, where the server has become read-only. That is no hindrance to all users, and another
    /// server is the primary then.
    guard: [&'static str; 2],
    /// How a take begins, and how it ends, of one and of several.
    head: String,
    tail_of_one: String,
    tail_of_several: String,
}

/// Not so on any server that is a primary.
const READ_ONLY: &str = "CONCAT(@@GLOBAL.read_only) NOT IN ('0','OFF')";
const GUARD: [&str; 2] = ["IF(CONCAT(@@GLOBAL.read_only) NOT IN ('0','OFF'),NULL,", ")"];
/// Of a lone take: the answer is the new fence, and of a row that is held by others how long it is.
const NEXT_OF_ONE: &str = "IF((expires_at<=UTC_TIMESTAMP(6) OR owner=VALUES(owner)),\
    LAST_INSERT_ID(fence+1),fence+0*LAST_INSERT_ID(9223372036854775808|\
    GREATEST(0,TIMESTAMPDIFF(MICROSECOND,UTC_TIMESTAMP(6),expires_at))))";

/// Asks whether the server is read-only, after what is to be read.
pub(crate) fn unless_read_only(sql: &str) -> String {
    format!("{sql};SELECT {IS_READ_ONLY} FROM DUAL WHERE {READ_ONLY}")
}

impl OwnTable {
    /// `guarded`: not where statements are logged as they are, for replicas are read-only.
    pub(crate) fn new(table: &Table, guarded: bool) -> Self {
        let name = table.quoted('`');
        // Compare and set. Assignments are made from left to right, so what tells whether the row was
        // free is overwritten last.
        let tail = |next: &str| {
            let set = |column, value| format!("{column}=IF({FREE},{value},{column})");
            format!(
                " ON DUPLICATE KEY UPDATE fence={next},{},{},{}",
                set("owner", "VALUES(owner)"),
                set("acquired_at", "VALUES(acquired_at)"),
                set("expires_at", "GREATEST(expires_at,VALUES(expires_at))")
            )
        };
        OwnTable {
            table: table.clone(),
            guard: if guarded { GUARD } else { ["", ""] },
            head: format!("INSERT INTO {name} (name,owner,fence,acquired_at,expires_at) VALUES "),
            tail_of_one: tail(NEXT_OF_ONE),
            tail_of_several: tail(&format!("fence+{FREE}")),
            name,
        }
    }

    /// Rows of these names. To be sure that nobody changes them meanwhile, and that they are not
    /// those of an old snapshot: `FOR UPDATE`.
    fn select(&self, when: &str, names: &str, rest: &str) -> String {
        format!(
            "SELECT {when},name,owner,fence,TIMESTAMPDIFF(MICROSECOND,{NOW},expires_at) \
             FROM {} WHERE name IN ({names}){rest}",
            self.name
        )
    }

    /// One statement for each time that they last.
    fn update(&self, leases: &[Lease], set: impl Fn(Duration) -> String, and: &str) -> String {
        let mut times: BTreeMap<Duration, Vec<&Lease>> = BTreeMap::new();
        for lease in leases {
            times.entry(lease.lasts).or_default().push(lease);
        }
        let update = |(lasts, leases): (Duration, Vec<&Lease>)| {
            let (set, ours) = (set(lasts), ours(&leases));
            format!("UPDATE {} SET {set} WHERE {ours}{and}", self.name)
        };
        times.into_iter().map(update).collect::<Vec<_>>().join(";")
    }

    fn release(&self, leases: &[Lease]) -> String {
        let [before, after] = self.guard;
        let set = |lasts| format!("owner='',expires_at={before}{}{after}", end(lasts));
        self.update(leases, set, "")
    }

    /// The first fence of a row stands between these.
    fn take(&self, leases: &[Lease], [before, after]: [&str; 2], tail: &str, sql: &mut String) {
        let [guard, guarded] = self.guard;
        sql.push_str(&self.head);
        for (index, lease) in leases.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let (name, owner) = (literal(&lease.name()), literal(lease.owner.as_str()));
            // Writing to a String cannot fail.
            let _ = write!(
                sql,
                "{comma}({guard}{name}{guarded},{owner},{before}{FIRST_FENCE}{after},{NOW},{})",
                end(lease.lasts)
            );
        }
        sql.push_str(tail);
    }
}

impl LeaseSql for OwnTable {
    fn table(&self) -> &Table {
        &self.table
    }

    fn columns(&self) -> Columns {
        &[
            ("name", &["varbinary"]),
            ("owner", &["varbinary"]),
            ("fence", &["bigint"]),
            ("acquired_at", &["datetime"]),
            ("expires_at", &["datetime"]),
        ]
    }

    fn has_fences(&self) -> bool {
        true
    }

    fn ddl(&self) -> Option<String> {
        Some(ddl::mysql(&self.table))
    }

    fn probe(&self) -> String {
        format!(
            "EXPLAIN INSERT INTO {0} (name,owner,fence,acquired_at,expires_at) \
             VALUES ('','',1,{NOW},{NOW}) ON DUPLICATE KEY UPDATE fence=fence+1;\
             EXPLAIN SELECT name,owner,fence,acquired_at,expires_at FROM {0} WHERE name=''",
            self.name
        )
    }

    fn take_one(&self, lease: &Lease) -> Option<String> {
        let mut sql = String::with_capacity(1024);
        let around = ["LAST_INSERT_ID(", ")"];
        self.take(std::slice::from_ref(lease), around, &self.tail_of_one, &mut sql);
        Some(sql)
    }

    fn apply(&self, releases: &[Lease], takes: &[Lease]) -> String {
        if takes.is_empty() {
            // What it finds need not be true any more when it writes: then it writes nothing.
            let before = self.select(BEFORE, &names(releases), "");
            return format!("{before};{}", self.release(releases));
        }
        let mut sql = String::with_capacity(1024);
        sql.push_str("START TRANSACTION;");
        if !releases.is_empty() {
            // All rows in one order, so that two who swap do not wait for each other.
            let all = format!("{},{}", names(releases), names(takes));
            let before = self.select(BEFORE, &all, " ORDER BY name FOR UPDATE");
            let _ = write!(sql, "{before};{};", self.release(releases));
        }
        let after = self.select(AFTER, &names(takes), " ORDER BY name FOR UPDATE");
        self.take(takes, ["", ""], &self.tail_of_several, &mut sql);
        let _ = write!(sql, ";{after};COMMIT");
        sql
    }

    fn renew(&self, leases: &[Lease]) -> String {
        // What has run out is not brought back: somebody may have looked already.
        let alive = format!(" AND expires_at>{NOW}");
        let [before, after] = self.guard;
        let set = |lasts| format!("expires_at={before}{}{after}", no_earlier(lasts));
        let renew = self.update(leases, set, &alive);
        format!("{renew};{}", self.select(AFTER, &names(leases), ""))
    }

    fn check(&self, lease: &Lease) -> String {
        self.select(AFTER, &literal(&lease.name()), "")
    }

    fn status(&self, name: Option<&str>) -> String {
        let filter = name.map(|name| format!(" AND name={}", literal(name))).unwrap_or_default();
        format!(
            "SELECT name,owner,fence,TIMESTAMPDIFF(MICROSECOND,acquired_at,{NOW}) FROM {} \
             WHERE expires_at>{NOW}{filter} ORDER BY name",
            self.name
        )
    }

    fn own(&self, lease: &Lease, to: &Owner) -> String {
        let [before, after] = self.guard;
        let to = literal(to.as_str());
        let set = |lasts| format!("owner={to},expires_at={before}{}{after}", end(lasts));
        let own = std::slice::from_ref(lease);
        let update = self.update(own, set, &format!(" AND expires_at>{NOW}"));
        let read = self.select(AFTER, &names(own), " FOR UPDATE");
        format!("START TRANSACTION;{update};{read};COMMIT")
    }

    fn old(&self, older_than: Duration, from: &str) -> Option<String> {
        let (micros, from) = (prune::micros(older_than), literal(from));
        let age = format!("{NOW}-INTERVAL {micros} MICROSECOND");
        Some(format!(
            "START TRANSACTION;SELECT name FROM {} WHERE name>={from} AND expires_at<={age} \
             AND acquired_at<={age} AND fence+{micros}<{FIRST_FENCE} ORDER BY name LIMIT {} \
             FOR UPDATE SKIP LOCKED",
            self.name,
            prune::ROWS_MAX
        ))
    }

    fn remove(&self, names: &[String]) -> String {
        let names: Vec<_> = names.iter().map(|name| literal(name)).collect();
        if names.is_empty() {
            return "COMMIT".into();
        }
        format!("DELETE FROM {} WHERE name IN ({});COMMIT", self.name, names.join(","))
    }

    fn explain(&self) -> Box<dyn Fn(&str) -> String + Send + Sync> {
        let table = self.name.clone();
        Box::new(move |name| {
            format!(
                "SELECT owner, fence, acquired_at, expires_at FROM {table} \
                 WHERE name = {} AND expires_at > {NOW}",
                literal(name)
            )
        })
    }
}

/// Rounded up.
pub(crate) fn end(lasts: Duration) -> String {
    match lasts {
        Duration::ZERO => PAST.into(),
        Duration::MAX => NEVER.into(),
        lasts => format!("{NOW}+INTERVAL {} MICROSECOND", lasts.as_nanos().div_ceil(1000)),
    }
}

/// The same, or when the row ends, if that is later.
pub(crate) fn no_earlier(lasts: Duration) -> String {
    match lasts {
        Duration::MAX => end(lasts),
        lasts => format!("GREATEST(expires_at,{})", end(lasts)),
    }
}

fn names(leases: &[Lease]) -> String {
    leases.iter().map(|lease| literal(&lease.name())).collect::<Vec<_>>().join(",")
}

/// The rows that have these names, owners and (where they are known) fences.
fn ours(leases: &[&Lease]) -> String {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for lease in leases {
        let (name, owner) = (literal(&lease.name()), literal(lease.owner.as_str()));
        match lease.fence {
            Some(fence) => with.push(format!("({name},{owner},{fence})")),
            None => without.push(format!("({name},{owner})")),
        }
    }
    let (with_fences, without_fences) = (
        format!("(name,owner,fence) IN ({})", with.join(",")),
        format!("(name,owner) IN ({})", without.join(",")),
    );
    match (with.is_empty(), without.is_empty()) {
        (_, true) => with_fences,
        (true, false) => without_fences,
        (false, false) => format!("({with_fences} OR {without_fences})"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::answers::HELD;
    use super::*;

    /// What is written once more in a constant.
    #[test]
    fn constants_agree() {
        assert_eq!(GUARD[0], format!("IF({READ_ONLY},NULL,"));
        assert!(NEXT_OF_ONE.contains(&format!("LAST_INSERT_ID({HELD}|")));
        assert!(NEXT_OF_ONE.starts_with(&format!("IF({FREE},")) && NEXT_OF_ONE.contains(NOW));
    }
}
