//! Giving back and taking, in as few steps as can be.
//!
//! A lease by itself, which is the rule, is bound as it is; several go in as JSON, so that one
//! statement, prepared once, serves any number of them. Every row that comes back, and the end, is
//! a message between threads: what is not needed is not asked for.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sqlx::AssertSqlSafe;

use super::{File, Sqlite};
use crate::backend::lease::{Failure, Lease, Outcomes, Taken};

/// How many refused names are kept in mind.
const MANY: usize = 1024;

impl Sqlite {
    /// All of it together, or nothing.
    pub(super) async fn write(
        &self,
        file: &mut File,
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        match (releases, takes) {
            ([release], []) => {
                let released = vec![self.release_one(file, release).await?];
                Ok(Outcomes { released, taken: Vec::new() })
            }
            ([], [take]) => {
                let taken = vec![self.take_one(file, take).await?];
                Ok(Outcomes { released: Vec::new(), taken })
            }
            _ => self.write_many(file, releases, takes).await,
        }
    }

    async fn release_one(&self, file: &mut File, lease: &Lease) -> Result<bool, Failure> {
        let released = sqlx::query(AssertSqlSafe(Arc::clone(&self.sql.release_one)))
            .bind(lease.name())
            .bind(lease.owner.as_str())
            .bind(lease.fence_or_zero())
            .bind(millis(lease.lasts))
            .execute(&mut file.connection)
            .await
            .map_err(|error| self.failure(error))?;
        Ok(released.rows_affected() > 0)
    }

    async fn take_one(&self, file: &mut File, lease: &Lease) -> Result<Taken, Failure> {
        // All rows are read: the last answer is that of the commit.
        let sql = AssertSqlSafe(Arc::clone(&self.sql.take_one));
        let fences = sqlx::query_scalar::<_, i64>(sql)
            .bind(lease.name())
            .bind(lease.owner.as_str())
            .bind(millis(lease.lasts))
            .bind(first_fence())
            .fetch_all(&mut file.connection)
            .await
            .map_err(|error| self.failure(error))?;
        Ok(Taken::of(fences.first().copied().map(Some)))
    }

    async fn write_many(
        &self,
        file: &mut File,
        releases: &[Lease],
        takes: &[Lease],
    ) -> Result<Outcomes, Failure> {
        // One statement is a transaction by itself.
        let (sql, both) = match (releases, takes) {
            ([], _) => (&self.sql.take, false),
            (_, []) => (&self.sql.release, false),
            _ => (&self.sql.release_and_take, true),
        };
        let sql = AssertSqlSafe(Arc::clone(sql));
        let written = sqlx::query_as::<_, (String, Option<String>, Option<i64>)>(sql)
            .bind(json(releases))
            .bind(json(takes))
            .bind(first_fence())
            .fetch_all(&mut file.connection)
            .await;
        let rows = match written.map_err(|error| self.failure(error)) {
            Ok(rows) => rows,
            Err(failure) if both => {
                return Err(self.roll_back(&mut file.connection, failure).await);
            }
            Err(failure) => return Err(failure),
        };
        let (mut released, mut taken) = (HashSet::new(), HashMap::new());
        for (name, owner, fence) in &rows {
            match owner {
                None => drop(released.insert(&**name)),
                Some(owner) => drop(taken.insert((&**name, &**owner), *fence)),
            }
        }
        let taken =
            |lease: &Lease| Taken::of(taken.get(&(&*lease.name(), lease.owner.as_str())).copied());
        Ok(Outcomes {
            released: releases.iter().map(|lease| released.contains(&*lease.name())).collect(),
            taken: takes.iter().map(taken).collect(),
        })
    }

    /// Which of these takes would be refused, by name, and for how long yet. Only those that were
    /// refused before are looked for: those who poll a key must not stand in the way of those who
    /// write, and one who asks for the first time mostly gets it.
    pub(super) async fn refusals(
        &self,
        file: &mut File,
        takes: &[Lease],
    ) -> Result<HashMap<Box<str>, Duration>, Failure> {
        let refused = |lease: &&Lease| file.refused.contains(&*lease.name());
        let polled: Vec<_> = takes.iter().filter(refused).cloned().collect();
        if polled.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = AssertSqlSafe(Arc::clone(&self.sql.held));
        let rows = sqlx::query_as::<_, (String, i64)>(sql)
            .bind(json(&polled))
            .fetch_all(&mut file.connection)
            .await
            .map_err(|error| self.failure(error))?;
        let left = |left| Duration::from_millis(u64::try_from(left).unwrap_or(0));
        Ok(rows.into_iter().map(|(name, rest)| (name.into(), left(rest))).collect())
    }
}

impl File {
    /// Keeps in mind who was refused.
    pub(super) fn remember(&mut self, takes: &[Lease], taken: &[Taken]) {
        for (lease, taken) in takes.iter().zip(taken) {
            if let Taken::Granted(_) = taken {
                if !self.refused.is_empty() {
                    self.refused.remove(&*lease.name());
                }
                continue;
            }
            if self.refused.len() >= MANY {
                self.refused.clear();
            }
            if !self.refused.contains(&*lease.name()) {
                self.refused.insert(lease.name().into());
            }
        }
    }
}

/// `[["name","owner",fence,lasts],…]`.
pub(super) fn json(leases: &[Lease]) -> String {
    let mut json = String::with_capacity(2 + 80 * leases.len());
    let mut next = '[';
    for lease in leases {
        json.push(next);
        json.push('[');
        text(&lease.name(), &mut json);
        json.push(',');
        text(lease.owner.as_str(), &mut json);
        // Writing to a String cannot fail.
        let _ = write!(json, ",{},{}]", lease.fence_or_zero(), millis(lease.lasts));
        next = ',';
    }
    if leases.is_empty() {
        json.push('[');
    }
    json.push(']');
    json
}

fn text(text: &str, json: &mut String) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            // Writing to a String cannot fail.
            c if c < ' ' => drop(write!(json, "\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

/// The fence of a row that is new: microseconds since 2020. SQLite's own clock counts milliseconds,
/// in which a row can be taken, deleted and taken again.
pub(super) fn first_fence() -> i64 {
    const SINCE: Duration = Duration::from_secs(1_577_836_800);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(now.saturating_sub(SINCE).as_micros()).unwrap_or(i64::MAX / 2).max(1)
}

/// Rounded up, and one more because the database's clock is rounded down: a lease must not end
/// before its holder's validity.
pub(super) fn millis(time: Duration) -> i64 {
    if time.is_zero() {
        return 0;
    }
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4).saturating_add(2)
}
