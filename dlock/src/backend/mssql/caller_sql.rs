//! SQL Server: application locks, of the session and of the transaction.
//!
//! <https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql>
//!
//! A wait that ends is no error here, and neither an unlock of what is not held: each is looked up
//! first. So nothing of this breaks a transaction, also where `XACT_ABORT` is on.

use super::errors::{kind, of_code};
use super::server::READ_ONLY;
use super::session::name;
use super::session_sql::{mode, quoted};
use super::status;
use crate::backend::errors::{ErrorKind, NotExclusive};
use crate::connection::dialect::{Dialect, Take, milliseconds};
use crate::connection::row::DriverError;
use crate::connection::session::Session;
use crate::connection::wanted::Wanted;
use crate::error::Error;
use crate::spec::lock_id::LockId;
use crate::spec::mode::Mode;
use crate::spec::native::{Naming, NativeKey};
use crate::spec::wait::Wait;

/// Refuses replicas, whose locks exclude nobody elsewhere, before any is taken.
const IS_REPLICA: &str = "DATABASEPROPERTYEX(DB_NAME(),'Updateability')<>'READ_WRITE'";
/// The session, as an answer has it: its number, and when it began.
const SESSION: &str = "@@SPID,(SELECT DATEDIFF_BIG(millisecond,'2000-01-01',login_time) \
    FROM sys.dm_exec_sessions WHERE session_id=@@SPID)";
/// What a return code says. Babelfish says -999 where it should say -1.
const WORD: &str = "CASE WHEN @dlock IN (0,1) THEN N'yes' WHEN @dlock=-1 THEN N'busy' \
    WHEN @dlock=-3 THEN N'deadlock' WHEN @dlock=-999 AND @@VERSION LIKE '%Babelfish%' THEN N'busy' \
    WHEN @dlock=-1001 THEN N'mine' WHEN @dlock=-1002 THEN N'replica' WHEN @dlock=-1003 THEN N'outside' \
    ELSE CONCAT(N'code ',@dlock) END";

/// Whose lock it is.
#[derive(Clone, Copy)]
enum Owner {
    Session,
    Transaction,
}

impl Owner {
    fn as_str(self) -> &'static str {
        match self {
            Owner::Session => "Session",
            Owner::Transaction => "Transaction",
        }
    }
}

/// What is told to a caller's connection.
pub enum MssqlDialect {}

impl Dialect for MssqlDialect {
    const NAMING: Naming = Naming::AppLock;
    const LABEL: &'static str = "mssql";
    const MODES: &'static [Mode] = &[Mode::Exclusive, Mode::Shared, Mode::Update];
    const OTHER_MODES: &'static str = "it has exclusive, shared and update ones";
    /// Without a transaction a `ROLLBACK` is an error.
    const ROLLBACK: &'static str = "IF @@TRANCOUNT>0 ROLLBACK;";

    fn look() -> String {
        "SELECT N'dlock',CASE WHEN @@TRANCOUNT>0 THEN N't' ELSE N'f' END".into()
    }

    fn take(take: &Take<'_>) -> String {
        let lock_id = &take.wanted.lock_id;
        let mine = match take.again {
            true => String::new(),
            false => format!("ELSE IF {} SET @dlock=-1001 ", is_held(lock_id)),
        };
        format!(
            "DECLARE @dlock int;IF {IS_REPLICA} SET @dlock=-1002 {mine}ELSE {};\
             SELECT N'dlock',{WORD},{SESSION}",
            get(lock_id, Owner::Session, &time(take.wait))
        )
    }

    /// All keys together have the time that one would have. Those before the one that is refused are
    /// given back.
    fn take_within(wanted: &[Wanted], wait: Wait) -> Option<String> {
        let time = time(wait);
        let mut text = format!(
            "DECLARE @dlock int=0,@dlock_count int=0,@dlock_time int={time},\
             @dlock_begin datetime2=SYSUTCDATETIME();\
             IF {IS_REPLICA} SET @dlock=-1002;IF @@TRANCOUNT=0 SET @dlock=-1003;"
        );
        for one in wanted {
            text.push_str(&format!(
                "IF @dlock>=0 BEGIN {};SET @dlock=ISNULL(@dlock,-1004);IF @dlock>=0 SET @dlock_count=@dlock_count+1;\
                 IF {time}>0 SET @dlock_time=CASE \
                 WHEN DATEDIFF_BIG(millisecond,@dlock_begin,SYSUTCDATETIME())<{time} \
                 THEN {time}-DATEDIFF_BIG(millisecond,@dlock_begin,SYSUTCDATETIME()) ELSE 0 END END;",
                get(&one.lock_id, Owner::Transaction, "@dlock_time")
            ));
        }
        for (index, one) in wanted.iter().enumerate() {
            text.push_str(&format!(
                "IF @dlock<0 AND @dlock_count>{index} {};",
                release(&one.lock_id, Owner::Transaction)
            ));
        }
        text.push_str(&format!("SELECT N'dlock',{WORD},{SESSION}"));
        Some(text)
    }

    /// There is no lock of a wait that has ended, and nothing was set.
    fn resolve_within(_: &[Wanted]) -> String {
        "SELECT N'settled'".into()
    }

    fn around_releases() -> (String, String) {
        (String::new(), format!("SELECT N'settled',{SESSION}"))
    }

    fn release_if_held(lock_id: &LockId, but: Option<&Session>) -> String {
        let but =
            but.map(|session| format!("NOT {} AND ", is_session(session))).unwrap_or_default();
        format!(
            "IF {but}{} BEGIN {};SELECT N'given',N't' END ELSE SELECT N'given',NULL",
            is_held(lock_id),
            release(lock_id, Owner::Session)
        )
    }

    /// Where the right is missing, to ask would be an error, which may cost a transaction.
    fn holder(lock_id: &LockId, _: bool) -> String {
        format!("IF HAS_PERMS_BY_NAME(NULL,NULL,'VIEW SERVER STATE')=1 {}", holder(&lock_id.key))
    }

    fn release_held(held: &[Wanted], session: &Session, open: bool) -> String {
        let open = if open { "" } else { "ELSE IF @@TRANCOUNT>0 SET @dlock=N'open' " };
        let mut text = format!(
            "DECLARE @dlock nvarchar(4000)=N'';IF NOT {} SET @dlock=N'' {open}ELSE BEGIN ",
            is_session(session)
        );
        for one in held.iter().rev() {
            text.push_str(&format!(
                "IF {} BEGIN {};SET @dlock=@dlock+N't' END ELSE SET @dlock=@dlock+N'f';",
                is_held(&one.lock_id),
                release(&one.lock_id, Owner::Session)
            ));
        }
        text.push_str(&format!("END;SELECT N'dlock',@dlock,{SESSION}"));
        text
    }

    fn not_exclusive(word: &str) -> Option<NotExclusive> {
        (word == "replica").then_some(READ_ONLY)
    }

    fn error_kind(code: &str) -> ErrorKind {
        code.parse().map_or(ErrorKind::Other, kind)
    }

    fn error(refused: DriverError) -> Error {
        let number = refused.code.as_deref().and_then(|code| code.parse().ok());
        of_code(Self::LABEL, number, refused.source)
    }
}

fn is_held(lock_id: &LockId) -> String {
    format!("APPLOCK_MODE('public',{},'Session')<>'NoLock'", literal(&lock_id.key))
}

fn get(lock_id: &LockId, owner: Owner, time: &str) -> String {
    format!(
        "EXEC @dlock=sp_getapplock @Resource={},@LockMode='{}',@LockOwner='{}',@LockTimeout={time}",
        literal(&lock_id.key),
        mode(lock_id.mode),
        owner.as_str()
    )
}

fn release(lock_id: &LockId, owner: Owner) -> String {
    format!(
        "EXEC sp_releaseapplock @Resource={},@LockOwner='{}'",
        literal(&lock_id.key),
        owner.as_str()
    )
}

fn is_session(session: &Session) -> String {
    format!(
        "(@@SPID={} AND EXISTS(SELECT 1 FROM sys.dm_exec_sessions WHERE session_id=@@SPID AND \
         DATEDIFF_BIG(millisecond,'2000-01-01',login_time)={}))",
        session.id, session.born
    )
}

/// In milliseconds; -1 has no end.
fn time(wait: Wait) -> String {
    milliseconds(wait).map_or_else(|| "-1".into(), |millis| millis.to_string())
}

/// What the server knows a key by, as it stands in a statement.
fn literal(key: &NativeKey) -> String {
    quoted(&name(key))
}

/// Who holds a key: a row `holder` and a text, if anybody does.
fn holder(key: &NativeKey) -> String {
    format!(
        "SELECT TOP (1) N'holder',CONCAT(s.program_name,N', ',s.login_name,N'@',s.host_name,\
         N', session ',l.request_session_id) FROM {}",
        status::holders_of(&name(key))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let key = NativeKey::Name("it's [é]".into());
        assert_eq!(literal(&key), "N'it''s [é]'");
        assert!(holder(&key).contains("N'0:[it''s [é]]:('"), "{}", holder(&key));
    }
}
