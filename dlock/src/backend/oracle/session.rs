//! A session: how it is opened and asked, and what its answers mean.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use oracledb::{Connection as Driver, DB_TYPE_VARCHAR, Error as DriverError};

use super::connection::Connection;
use super::errors::{Code, STANDBY, is_right, of_number};
use super::known::KnownLocks;
use super::session_sql::{self as sql, LOCKS_MAX, MODES, Order, What};
use super::{HEARTBEAT_MAX, Oracle, SLICE, TTL_MAX, table};
use crate::backend::errors::{another_session, neither, unexpected, unexpected_source};
use crate::backend::{Answer, BatchItem, Op, SessionLocks, SessionTag, lease, orders_or_locks};
use crate::clock::Time;
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

/// Whether a commit here waits for a standby.
const PROTECTION: &str = "SELECT protection_mode FROM v$database";

pub(crate) struct Session {
    pub(super) connection: Connection,
    /// What other sessions call this one by.
    pub(super) id: i64,
    /// What the server says in every answer, so that it is known whose it is.
    unique: String,
    pub(super) locks: KnownLocks,
    /// It knows that there is a table to draw tokens from.
    pub(super) fences: bool,
    /// Whether a commit here may wait for another server, if it was asked.
    pub(super) commits_wait: Option<bool>,
}

/// What became of one order.
pub(super) struct Reply {
    code: Option<i64>,
    pub(super) token: Option<u64>,
}

/// What a lock is asked to do, for a part of a batch.
pub(super) struct Part<'a> {
    pub(super) what: What,
    pub(super) lock_id: &'a LockId,
    pub(super) seconds: u32,
    pub(super) fenced: bool,
}

impl SessionLocks for Oracle {
    type Session = Session;

    fn label(&self) -> &str {
        &self.label
    }

    fn session_ttl(&self) -> Option<Duration> {
        Some(self.session_ttl.min(TTL_MAX))
    }

    fn heartbeat(&self) -> Duration {
        (self.session_ttl.min(TTL_MAX) / 3).min(HEARTBEAT_MAX)
    }

    fn modes(&self) -> &'static [Mode] {
        MODES
    }

    async fn open(&self) -> Result<Session> {
        let connection = self.target.connect(self.connect_timeout).await?;
        let text = &DB_TYPE_VARCHAR;
        let open = move |driver: &Driver| {
            let mut done = driver.execute(sql::OPEN, &[text, text, text, text, text])?;
            let row = done.out_bind_data();
            let column = |column: usize| row.get::<Option<String>>(column);
            Ok([column(0)?, column(1)?, column(2)?, column(3)?, column(4)?])
        };
        let told = connection.ask(self.patience(), open).await;
        let [database, container, role, instance, unique] =
            told.map_err(|error| error.into_error(&self.label))?;
        if role.as_deref().is_some_and(|role| role != "PRIMARY") {
            return Err(STANDBY.error(&self.label));
        }
        let (Some(database), Some(unique)) = (database, unique) else {
            return Err(self.unexpected("no session"));
        };
        self.same_database(&format!("{database}/{}", container.unwrap_or_default()))?;
        let instance = instance.and_then(|instance| instance.parse().ok()).unwrap_or(1);
        let id = sql::number_of(connection.sid, instance);
        let (locks, fences, commits_wait) = (KnownLocks::default(), false, None);
        Ok(Session { connection, id, unique, locks, fences, commits_wait })
    }

    fn tag(&self, session: &Session) -> SessionTag {
        SessionTag { id: session.id, birth: session.connection.serial }
    }

    async fn batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let (orders, locks) = orders_or_locks(ops);
        if ops.is_empty() {
            self.ping(session).await?;
        }
        for order in orders {
            out.push(self.order(session, order).await?.into());
        }
        if locks.iter().any(|op| op.what.is_written()) {
            self.prepare_tokens(session).await?;
        }
        for part in locks.chunks(LOCKS_MAX) {
            self.locks(session, part, out).await?;
        }
        Ok(())
    }

    /// Where that is not to be seen, it may be so.
    async fn writes_wait(&self, session: &mut Session) -> Result<bool> {
        if let Some(known) = session.commits_wait {
            return Ok(known);
        }
        let rows = table::rows(&session.connection, self.patience(), PROTECTION.into()).await;
        let wait = match rows {
            Ok(rows) => {
                rows.first().and_then(|row| row.first()?.as_deref()) != Some("MAXIMUM PERFORMANCE")
            }
            Err(error) if is_right(error.kind()) => true,
            Err(error) => return Err(error.into_error(&self.label)),
        };
        session.commits_wait = Some(wait);
        Ok(wait)
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        let mut held = Vec::with_capacity(lock_ids.len());
        for lock_ids in lock_ids.chunks(LOCKS_MAX) {
            let part = |lock_id| Part { what: What::IsHeld, lock_id, seconds: 0, fenced: false };
            let parts: Vec<Part<'_>> = lock_ids.iter().map(part).collect();
            let replies = match self.orders(session, &parts).await {
                // The right has been taken away. What was granted before that, nobody can say.
                Err(Error::Permission { .. }) if session.locks.holds_nothing() => {
                    held.resize(held.len() + lock_ids.len(), false);
                    continue;
                }
                replies => replies?,
            };
            for (lock_id, reply) in lock_ids.iter().zip(&replies) {
                let is_held = self.code(reply)? == Code::Done;
                if !is_held {
                    session.locks.released(lock_id);
                }
                held.push(is_held);
            }
        }
        Ok(held)
    }

    /// Nothing shows without a question.
    async fn watch(&self, _: &mut Session) -> Error {
        pending().await
    }

    async fn close(&self, session: Session) {
        session.connection.close().await;
    }
}

impl Oracle {
    /// How long the server may take to answer what it need not wait for. The engine judges that by
    /// its own clock, and sooner: this is the end of a thread that hangs.
    pub(super) fn patience(&self) -> Duration {
        self.session_ttl.min(TTL_MAX).max(SLICE)
    }

    /// Has the server do these orders, and returns a line of answer for each. None: a sign of life.
    async fn ask(
        &self,
        session: &mut Session,
        orders: &str,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<String>> {
        let pieces = sql::pieces(orders);
        let block = Arc::clone(if session.fences { &self.fenced_block } else { &self.block });
        let told = session.connection.ask(limit, move |driver| ask(driver, &block, &pieces)).await;
        let (unique, answers) = match told {
            Ok(told) => told,
            Err(error) => return Err(self.not_done(session, error)),
        };
        if unique.as_deref() != Some(&*session.unique) {
            return Err(another_session(&self.label, "sessions", "pooler"));
        }
        let lines: Vec<String> =
            answers.iter().flat_map(|a| a.lines()).map(str::to_owned).collect();
        if lines.len() == count {
            Ok(lines)
        } else {
            Err(self.unexpected("not one answer for each"))
        }
    }

    /// Does these, in their order.
    pub(super) async fn orders(
        &self,
        session: &mut Session,
        parts: &[Part<'_>],
    ) -> Result<Vec<Reply>> {
        let (mut orders, mut seconds, now) = (String::new(), 0, Time::now());
        let mut fresh = Vec::with_capacity(parts.len());
        for part in parts {
            let key = &part.lock_id.key;
            let row = part.fenced.then(|| lease::name(key));
            let handle = session.locks.handle(key, now);
            fresh.push(handle.is_none());
            let (what, mode) = (part.what, part.lock_id.mode);
            let row = row.as_deref().map(str::as_bytes);
            Order { what, key, mode, seconds: part.seconds, handle, row }.write(&mut orders);
            seconds += part.seconds;
        }
        let limit = self.patience() + Duration::from_secs(seconds.into());
        let lines = self.ask(session, &orders, parts.len(), limit).await?;
        let mut replies = Vec::with_capacity(parts.len());
        for ((part, fresh), line) in parts.iter().zip(fresh).zip(lines) {
            let mut fields = line.splitn(3, ' ');
            let code = fields.next().and_then(|code| code.parse().ok());
            let handle = fields.next().filter(|handle| fresh && !handle.is_empty());
            session.locks.learn(&part.lock_id.key, handle, now);
            let token = fields.next().and_then(|token| token.parse().ok());
            replies.push(Reply { code, token });
        }
        Ok(replies)
    }

    /// Does these, which are all about locks.
    pub(super) async fn locks(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let parts: Vec<Option<Part<'_>>> = ops.iter().map(|op| part(session, &op.what)).collect();
        let asked: Vec<bool> = parts.iter().map(Option::is_some).collect();
        let parts: Vec<Part<'_>> = parts.into_iter().flatten().collect();
        let mut replies = self.orders(session, &parts).await?.into_iter();
        let mut failed = None;
        for (op, asked) in ops.iter().zip(asked) {
            if !asked {
                out.push(Answer::Yes);
                continue;
            }
            let reply = replies.next().ok_or_else(|| self.unexpected("no answer"))?;
            match self.done(session, op, &reply) {
                Ok(answer) => out.push(answer),
                // The others were done all the same.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The return code of a reply.
    pub(super) fn code(&self, reply: &Reply) -> Result<Code> {
        let code = reply.code.ok_or_else(|| self.unexpected("no return code"))?;
        if code < 0 {
            let source = unexpected_source(&format!("ORA-{:05}", -code));
            return Err(of_number(&self.label, usize::try_from(-code).ok(), source));
        }
        Code::of(code).ok_or_else(|| self.unexpected(&format!("return code {code}")))
    }

    /// What a reply says of a try, an unlock or a token.
    fn done(&self, session: &mut Session, op: &BatchItem, reply: &Reply) -> Result<Answer> {
        let code = self.code(reply)?;
        match (&op.what, code) {
            (Op::Try(lock_id), Code::Done) => {
                session.locks.granted(lock_id);
                Ok(Answer::Yes)
            }
            (Op::TryFenced(lock_id), Code::Done) => {
                session.locks.granted(lock_id);
                self.token(reply)
            }
            (Op::Fence(_), Code::Done) => self.token(reply),
            // Not a grant, unless it is known that the session has it in this mode: then it has it
            // once more.
            (Op::Try(lock_id), Code::Owner) => Ok(session.locks.granted_again(lock_id).into()),
            // It is refused all the same: nothing is held.
            (_, Code::Timeout | Code::Deadlock) => Ok(Answer::No),
            (Op::Unlock(lock_id), Code::Done | Code::Owner) => {
                session.locks.released(lock_id);
                Ok((code == Code::Done).into())
            }
            (_, Code::Owner) => Ok(Answer::No),
            (_, Code::Handle) => {
                if let Some(lock_id) = op.what.lock_id() {
                    session.locks.forget(&lock_id.key);
                }
                Err(self.refused(code))
            }
            (_, Code::Done | Code::Wrong) => Err(self.refused(code)),
        }
    }

    fn token(&self, reply: &Reply) -> Result<Answer> {
        reply.token.map(Answer::Fence).ok_or_else(|| self.unexpected("no token"))
    }

    /// A sign of life; now and then, names of what is held are allocated anew on the way.
    pub(super) async fn ping(&self, session: &mut Session) -> Result<()> {
        let aged = session.locks.aged(Time::now());
        if aged.is_empty() {
            return self.ask(session, "", 0, self.patience()).await.map(drop);
        }
        for lock_ids in aged.chunks(LOCKS_MAX) {
            let part = |lock_id| Part { what: What::Allocate, lock_id, seconds: 0, fenced: false };
            let parts: Vec<Part<'_>> = lock_ids.iter().map(part).collect();
            for reply in self.orders(session, &parts).await? {
                self.code(&reply)?;
            }
        }
        Ok(())
    }

    pub(super) fn unexpected(&self, answer: &str) -> Error {
        unexpected(&self.label, answer)
    }

    /// The server has said neither yes nor no.
    fn refused(&self, code: Code) -> Error {
        neither(&self.label, &code)
    }
}

/// The order for a part of a batch; none for a release of what stays held.
fn part<'a>(session: &mut Session, what: &'a Op) -> Option<Part<'a>> {
    let lock_id = what.lock_id()?;
    let (what, fenced) = match what {
        Op::Try(_) => (What::Request, false),
        Op::TryFenced(_) => (What::Request, true),
        Op::Fence(_) => (What::IsHeld, true),
        Op::Unlock(lock_id) if session.locks.is_kept_after(lock_id) => return None,
        Op::Unlock(_) => (What::Release, false),
        Op::Cancel(_) | Op::End(_) => return None,
    };
    Some(Part { what, lock_id, seconds: 0, fenced })
}

/// Asks the block. Which session has answered, and its lines.
fn ask(
    driver: &Driver,
    block: &str,
    [one, two, three, four]: &[Option<String>; sql::PIECES],
) -> Result<(Option<String>, Option<String>), DriverError> {
    let text = &DB_TYPE_VARCHAR;
    let mut done = driver.execute(block, &[one, two, three, four, text, text])?;
    let row = done.out_bind_data();
    Ok((row.get(0)?, row.get(1)?))
}
