//! Whether a server is a replica, though it takes writes.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::errors::{NO_SUCH_WORDS, kind_of, number};
use super::integer;
use crate::backend::errors::ErrorKind;
use crate::backend::rows;

/// What everybody may see, on MariaDB.
const RUNNING: &str = "SHOW GLOBAL STATUS LIKE 'Slaves_running'";
/// What is to be granted to see it.
pub(crate) const REMEDY: &str = "GRANT REPLICATION CLIENT ON *.* to this user (MariaDB: GRANT REPLICA MONITOR ON *.*), or make \
     sure of it yourself";

/// Whether the server is set up to replicate another one: `None` if this user may not see it. Members
/// of a group replicate each other by channels of their own.
/// <https://dev.mysql.com/doc/refman/8.4/en/show-replica-status.html>,
/// <https://mariadb.com/kb/en/show-replica-status/>
pub(crate) async fn replicates(
    connection: &mut MySqlConnection,
    mariadb: bool,
) -> sqlx::Result<Option<bool>> {
    let all = if mariadb { "SHOW ALL REPLICAS STATUS" } else { "SHOW REPLICA STATUS" };
    match rows::ask(&mut *connection, sqlx::raw_sql(AssertSqlSafe(all))).all().await {
        Ok(rows) => Ok(Some(!rows.iter().all(is_of_a_group))),
        Err(error)
            if number(&error) == Some(NO_SUCH_WORDS) || kind_of(&error) == ErrorKind::NoRight =>
        {
            let rows = rows::ask(connection, sqlx::raw_sql(RUNNING)).all().await?;
            let running = rows.first().and_then(|row| integer(row, 1)).unwrap_or(0);
            Ok((running > 0).then_some(true))
        }
        Err(error) => Err(error),
    }
}

fn is_of_a_group(row: &MySqlRow) -> bool {
    let channel: Option<String> = row.try_get_unchecked("Channel_Name").unwrap_or_default();
    channel.is_some_and(|name| name.starts_with("group_replication_"))
}
