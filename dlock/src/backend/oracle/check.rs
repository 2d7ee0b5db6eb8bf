//! What is wrong with the set-up, as far as a session can see it.

use super::session::Session;
use super::{Oracle, TTL_MAX, status};
use crate::error::Result;
use crate::spec::native::NativeKey;
use crate::status::Finding;

const SERVER: &str = "SELECT server FROM v$session WHERE sid = SYS_CONTEXT('USERENV','SID')";
const INSTANCES: &str = "SELECT TO_CHAR(COUNT(*)) FROM gv$instance";

impl Oracle {
    pub(super) async fn findings(&self, session: &mut Session) -> Result<Vec<Finding>> {
        let mut found = vec![Finding::note(
            "Oracle ends no session for its silence unless the server's sqlnet.ora has \
             SQLNET.EXPIRE_TIME: without it, a client whose host has vanished may keep its locks for \
             hours, and one that is frozen keeps them anyway",
            "set SQLNET.EXPIRE_TIME=1 on the server (a minute, and another one without an answer), or \
             use lease+oracle://, where a lock ends with its ttl",
        )];
        if self.session_ttl > TTL_MAX {
            found.push(Finding::note(
                format!(
                    "session_ttl is {:?}, and with SQLNET.EXPIRE_TIME=1 Oracle gives the locks of a \
                     vanished client back before that: guards are valid for {TTL_MAX:?} without an \
                     answer",
                    self.session_ttl
                ),
                "set session_ttl to 60 s or less",
            ));
        }
        let looked = format!("{} AND ROWNUM < 2", status::explain(&NativeKey::Id(0)));
        if self.if_allowed(session, looked).await?.is_none() {
            found.push(Finding::note(
                "this user may not see the server's locks: status and errors do not say who holds a \
                 lock",
                "run as SYS: GRANT SELECT_CATALOG_ROLE TO this user; GRANT SELECT ON \
                 SYS.DBMS_LOCK_ALLOCATED TO this user",
            ));
        }
        if let Some(server) = self.first(session, SERVER).await?
            && server != "DEDICATED"
        {
            found.push(Finding::problem(
                format!(
                    "this session has no server process of its own ({server}): while it waits for a \
                     lock, its process serves nobody else, and a pooled one may give its locks away"
                ),
                "let the listener give out dedicated servers, without a connection manager that pools \
                 them; or put lease+ before the url",
            ));
        }
        if let Some(instances) = self.first(session, INSTANCES).await?
            && instances != "1"
        {
            found.push(Finding::note(
                format!(
                    "this is a cluster of {instances} instances: locks are those of all of them, and \
                     those of a session end with its instance"
                ),
                "fence what a lock guards, if two holders at once would do harm",
            ));
        }
        Ok(found)
    }

    /// The first column of a query's first row, if this user may see it.
    async fn first(&self, session: &Session, sql: &str) -> Result<Option<String>> {
        let rows = self.if_allowed(session, sql.to_owned()).await?;
        Ok(rows.and_then(|rows| rows.into_iter().next()?.into_iter().next()?))
    }
}
