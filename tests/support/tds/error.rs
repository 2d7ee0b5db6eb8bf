//! Errors, as clients get them.

/// What a statement answers that cannot be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    pub(super) number: u32,
    pub(super) severity: u8,
    pub(super) state: u8,
    pub(super) message: String,
    /// It ends the batch, not just the statement.
    pub(super) ends_batch: bool,
}

impl Fault {
    /// One of a statement.
    pub(super) fn new(number: u32, message: impl Into<String>) -> Self {
        // As the server has it: what is not there, and what cannot be converted, ends the batch.
        let ends_batch =
            matches!(number, 102 | 207 | 208 | 241 | 245 | 262 | 1205 | 2812 | 3930 | 3960 | 10928);
        let severity = match number {
            1205 => 13,
            229 | 262 | 297 | 300 => 14,
            102 | 137 | 207 | 156 => 15,
            _ => 16,
        };
        Fault { number, severity, state: 1, message: message.into(), ends_batch }
    }

    /// What was not understood: by this double, or by any server.
    pub(super) fn syntax(what: &str) -> Self {
        Fault::new(102, format!("Incorrect syntax: {what}."))
    }

    /// A deadlock's victim is rolled back.
    pub(super) fn deadlock(session: u16) -> Self {
        Fault::new(
            1205,
            format!(
                "Transaction (Process ID {session}) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction."
            ),
        )
    }

    /// The one of that number, as the server words it.
    pub(super) fn numbered(number: u32) -> Self {
        let message = match number {
            1222 => "Lock request time out period exceeded.",
            229 => {
                "The EXECUTE permission was denied on the object 'xp_userlock', database 'mssqlsystemresource', schema 'sys'."
            }
            262 => "CREATE TABLE permission denied in database.",
            297 => "The user does not have permission to perform this action.",
            300 => "VIEW SERVER STATE permission was denied on object 'server', database 'master'.",
            3906 => "Failed to update database because the database is read-only.",
            3960 => "Snapshot isolation transaction aborted due to update conflict.",
            10928 => "Resource ID : 1. The limit for the database is 30 and has been reached.",
            1205 => return Fault::deadlock(0),
            _ => "An error that a test asked for.",
        };
        Fault::new(number, message)
    }
}
