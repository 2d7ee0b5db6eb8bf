//! MySQL and MariaDB: named locks of a session, `GET_LOCK` and `RELEASE_LOCK`.
//!
//! <https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html>,
//! <https://mariadb.com/kb/en/get_lock/>
//!
//! Statements go out as text: a prepared one is a tenth faster at best, and costs every session a
//! second round trip at its first use. Every answer comes with the session's `CONNECTION_ID()`, which
//! must stay the same. A connection that is dropped is just closed: a goodbye that nobody reads yet
//! would hide from the server that the client of a wait has gone.

#[cfg(feature = "mysql")]
pub(crate) mod caller_sql;
mod check;
mod connect;
mod errors;
mod fencing;
#[cfg(feature = "mysql")]
pub(crate) mod lease;
pub(crate) mod lease_sql;
mod polling;
mod replication;
mod server;
mod session_sql;
mod settings;
mod status;

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, Connection as _, MySqlPool};
use tokio::time::timeout;

pub(crate) use self::connect::{as_it_is, kind, label, parse};
use self::polling::Flag;
pub(crate) use self::polling::integer;
pub(crate) use self::polling::text;
pub(crate) use self::replication::{REMEDY, replicates};
use self::server::{Family, Server};
use self::session_sql::name;
#[cfg(test)]
pub(crate) use self::session_sql::read_wait;
pub(crate) use self::session_sql::{FIRST_FENCE, literal};
pub(crate) use self::settings::fit;
use super::lease::Table;
use super::{
    Answer, BackendInfo, BatchItem, LockView, Options, SessionBackend, SessionTag, Waited,
};
use crate::backend::errors::unsupported;
use crate::backend::pool;
use crate::error::{Error, Result};
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::status::Finding;

/// The end of a session is not pushed: so long it goes unnoticed at most, and a round trip.
const HEARTBEAT: Duration = Duration::from_millis(1500);
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

pub(crate) struct MySql {
    from: From,
    label: Box<str>,
    session_ttl: Duration,
    application_name: Option<String>,
    /// How many sessions there may be.
    max_sessions: u32,
    /// Where fencing tokens are drawn.
    table: Table,
    /// It has been said that tokens may repeat here.
    warned: AtomicBool,
    /// Left over from the preflight, for the first session: with TLS a connection is dear.
    spare: Mutex<Option<MySqlConnection>>,
}

enum From {
    Url(Box<MySqlConnectOptions>),
    /// Its options are read at each connect.
    Pool(MySqlPool),
}

pub(crate) struct Session {
    connection: MySqlConnection,
    id: i64,
    /// When the server was started: the numbers of its sessions are used again after that.
    birth: i64,
    /// What each answer must show.
    proof: String,
    server: Server,
    /// How many connections the server had left at connect.
    left: Option<i64>,
    /// It knows that there is a table to draw tokens from.
    fences: bool,
}

impl MySql {
    pub(crate) fn from_url(url: &str, options: &Options) -> Result<Self> {
        MySql::new(From::Url(Box::new(parse(url)?)), kind(url), options)
    }

    pub(crate) fn from_pool(pool: MySqlPool, options: &Options) -> Result<Self> {
        MySql::new(From::Pool(pool), "mysql", options)
    }

    fn new(from: From, server: &str, options: &Options) -> Result<Self> {
        Ok(MySql {
            label: label(server, &[from.options()]),
            from,
            session_ttl: options.session_ttl,
            application_name: options.application_name.clone(),
            max_sessions: options.max_sessions,
            table: options.lease.table_of(false)?,
            warned: AtomicBool::new(false),
            spare: Mutex::new(None),
        })
    }

    /// What is known of it without asking.
    pub(crate) fn about(&self) -> BackendInfo {
        BackendInfo {
            label: self.label.clone(),
            naming: Naming::ShortName,
            modes: self.modes(),
            leases: None,
            fences: true,
            explain: Box::new(|key| session_sql::explain(&name(key))),
        }
    }

    async fn connect(&self) -> Result<MySqlConnection> {
        // Nothing is set before the server is known to be one whose locks are of use.
        let options = as_it_is(self.from.options());
        let connected = match &self.from {
            From::Url(_) => options.connect().await,
            From::Pool(pool) => pool::connect(pool, options).await,
        };
        connected.map_err(|error| self.error(error))
    }

    fn proxied(&self) -> Error {
        unsupported(
            &self.label,
            "session of its own for each connection (there is a proxy between that shares the server's \
             sessions among its clients)",
            "connect to the server itself",
        )
    }

    /// Quotes what the application calls itself.
    fn own_name(&self) -> String {
        literal(self.application_name.as_deref().unwrap_or("dlock"))
    }
}

impl From {
    fn options(&self) -> MySqlConnectOptions {
        match self {
            From::Url(options) => (**options).clone(),
            From::Pool(pool) => (*pool.connect_options()).clone(),
        }
    }
}

impl SessionBackend for MySql {
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
        let mut session = Session { connection, id, birth, proof, server, left, fences: false };
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
        if ops.is_empty() {
            let answer = self.ask(session, session_sql::ping(session.server.proof())).await;
            return answer.map(drop).map_err(|failed| self.failed(failed));
        }
        for op in ops.iter().filter(|op| op.what.is_order()) {
            out.push(self.kill(session, session_sql::order(op)).await?.into());
        }
        let locks: Vec<&BatchItem> = ops.iter().filter(|op| !op.what.is_order()).collect();
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

    async fn wait(
        &self,
        session: &mut Session,
        lock_id: &LockId,
        time: Duration,
    ) -> Result<Waited> {
        let limits = session.server.family.limits(time);
        let sql = session_sql::wait(
            session.server.proof(),
            &name(&lock_id.key),
            &limits,
            self.application_name.as_deref(),
        );
        match self.ask(session, sql).await {
            Ok(Some(answer)) if answer == "1" => Ok(Waited::Granted),
            Ok(Some(answer)) if answer == "0" => Ok(Waited::Busy),
            // What MariaDB says of a wait that was stopped.
            Ok(None) => self.release_unwanted(session, lock_id).await.map(|()| Waited::Busy),
            Ok(Some(answer)) => Err(self.strange(&answer)),
            Err(failed) if failed.is_ended_wait() => {
                self.release_unwanted(session, lock_id).await.map(|()| Waited::Busy)
            }
            Err(failed) => Err(self.failed(failed)),
        }
    }

    async fn held(&self, session: &mut Session, lock_ids: &[LockId]) -> Result<Vec<bool>> {
        let mut held = Vec::with_capacity(lock_ids.len());
        for part in lock_ids.chunks(session.server.most) {
            let flags = self
                .flags(session, session_sql::held(session.server.proof(), part), part.len())
                .await?;
            held.extend(flags.into_iter().map(|flag| flag == Flag::Yes));
        }
        Ok(held)
    }

    async fn status(&self, session: &mut Session, of: Option<&NativeKey>) -> Result<Vec<LockView>> {
        self.look(session, of).await
    }

    /// <https://dev.mysql.com/doc/refman/8.4/en/kill.html>
    fn right_to_end(&self) -> &'static str {
        "GRANT CONNECTION_ADMIN ON *.* TO this user (on MariaDB: CONNECTION ADMIN), or connect as the \
         user that holds the lock"
    }

    async fn check(&self, session: &mut Session) -> Result<Vec<Finding>> {
        self.findings(session).await
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
