//! A session: how it is opened and closed, and what it locks.

use std::sync::PoisonError;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::timeout;

use super::family::Family;
use super::polling::Flag;
use super::prepared::Prepared;
use super::server;
use super::{GOODBYE, HEARTBEAT, MySql, Session, integer, replicates, session_sql, text};
use crate::backend::{Answer, BatchItem, SessionLocks, SessionTag, orders_or_locks, rows};
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;

impl SessionLocks for MySql {
    type Session = Session;

    fn label(&self) -> &str {
        &self.label
    }

    fn session_ttl(&self) -> Option<Duration> {
        Some(self.session_ttl)
    }

    fn heartbeat(&self) -> Duration {
        HEARTBEAT.min(self.session_ttl / 3)
    }

    fn modes(&self) -> &'static [Mode] {
        &[Mode::Exclusive]
    }

    /// Behind a proxy that shares the server's sessions among its clients, two idle connections are
    /// one session, or now this one and now that.
    async fn preflight(&self) -> Result<()> {
        let (one, other) = if self.max_sessions == 1 {
            let one = self.connect().await?;
            match self.connect().await {
                // The user may have one connection only: then it must do.
                Err(error) if error.is_full() => (one, None),
                other => (one, Some(other?)),
            }
        } else {
            let (one, other) = tokio::try_join!(self.connect(), self.connect())?;
            (one, Some(other))
        };
        let mut all: Vec<_> = Some(one).into_iter().chain(other).collect();
        let mut ids = [None, None];
        for _ in 0..2 {
            for (connection, id) in all.iter_mut().zip(&mut ids) {
                let rows = self.rows(connection, session_sql::LOOK_AT_ID.into()).await?;
                let now = rows.first().and_then(|row| integer(row, 1));
                if now.is_none() || now != *id.get_or_insert(now) {
                    return Err(self.proxied());
                }
            }
        }
        if ids[0] == ids[1] {
            return Err(self.proxied());
        }
        let mut all = all.into_iter();
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = all.next();
        if let Some(second) = all.next() {
            let _ = timeout(GOODBYE, second.close()).await;
        }
        Ok(())
    }

    async fn open(&self) -> Result<Session> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut connection = match spare {
            Some(spare) => spare,
            None => self.connect().await?,
        };
        let rows = self.rows(&mut connection, server::LOOK.into()).await?;
        let look: Vec<(String, String)> =
            rows.iter().filter_map(|row| Some((text(row, 0)?, text(row, 1)?))).collect();
        let mut server = self.recognize(&look)?;
        if server.grouped {
            match self.rows(&mut connection, server::MEMBERS.into()).await {
                Ok(_) => server.sees_group = true,
                // `check` says so.
                Err(error) if self.survives(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if server.may_be_clustered {
            let rows = self.rows(&mut connection, server::CLUSTER.into()).await?;
            self.check_cluster(rows.first().and_then(|row| text(row, 1)).as_deref())?;
        }
        let mariadb = server.family == Family::MariaDb;
        let replicates = replicates(&mut connection, mariadb).await;
        self.check_replica(replicates.map_err(|error| self.error(error))?)?;
        self.rows(&mut connection, self.settings(&server)).await?;
        let rows = self.rows(&mut connection, server.confirm()).await?;
        let [id, birth] = [0, 3].map(|column| rows.first().and_then(|row| integer(row, column)));
        let (id, birth) = (id.unwrap_or(-1), birth.unwrap_or(-1));
        let used = rows.get(1).and_then(|row| integer(row, 1));
        let left = server.max_connections.zip(used).map(|(most, used)| most.saturating_sub(used));
        let proof = String::new();
        let prepared = Prepared::default();
        let mut session =
            Session { connection, id, birth, proof, server, left, fences: false, prepared };
        self.confirm(&mut session, rows.first())?;
        Ok(session)
    }

    fn tag(&self, session: &Session) -> SessionTag {
        SessionTag { id: session.id, birth: session.birth }
    }

    fn connections_left(&self, session: &Session) -> Option<i64> {
        session.left
    }

    async fn batch(
        &self,
        session: &mut Session,
        ops: &[BatchItem],
        out: &mut Vec<Answer>,
    ) -> Result<()> {
        let (orders, locks) = orders_or_locks(ops);
        if ops.is_empty() {
            let answer = self.ask(session, session_sql::ping(session.server.proof())).await;
            answer.map_err(|failed| self.failed(failed))?;
        }
        for order in orders {
            out.push(self.kill(session, session_sql::order(order)).await?.into());
        }
        for part in locks.chunks(session.server.most) {
            self.locks(session, part, out).await?;
        }
        Ok(())
    }

    async fn writes_wait(&self, session: &mut Session) -> Result<bool> {
        let rows = self.rows(&mut session.connection, server::WRITES_WAIT.into()).await?;
        let off = |value: &str| matches!(value, "OFF" | "0" | "");
        Ok(rows.iter().any(|row| text(row, 1).is_none_or(|value| !off(&value))))
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        let mut held = Vec::with_capacity(lock_ids.len());
        for part in lock_ids.chunks(session.server.most) {
            let sql = AssertSqlSafe(session_sql::held(session.server.proof(), part));
            let row = rows::ask(&mut session.connection, sqlx::raw_sql(sql)).one().await;
            let row = row.map_err(|error| self.error(error))?;
            let flags = self.read_flags(session, &row, part.len())?;
            held.extend(flags.map(|flag| flag == Flag::Yes));
        }
        Ok(held)
    }

    /// The driver does not say that the server has hung up before it is asked something.
    async fn watch(&self, _: &mut Session) -> Error {
        std::future::pending().await
    }

    async fn close(&self, mut session: Session) {
        // The goodbye is not answered: the server would let go some time after it.
        let _ =
            timeout(GOODBYE, self.rows(&mut session.connection, session_sql::UNLOCK_ALL.into()))
                .await;
        let _ = timeout(GOODBYE, session.connection.close()).await;
    }
}
