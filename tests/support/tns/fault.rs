//! Errors, as clients get them.

/// Why a statement is not done.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    /// Of ORA-00001 and so on.
    pub(super) number: u32,
    /// Without its number.
    message: String,
}

impl Fault {
    pub(super) fn new(number: u32, message: impl Into<String>) -> Self {
        Fault { number, message: message.into() }
    }

    /// What was not understood: by this double, or by any server.
    pub(super) fn syntax(what: impl std::fmt::Display) -> Self {
        Fault::new(900, format!("invalid SQL statement: {what}"))
    }

    /// A name that is nobody's, or nothing that this user may see.
    pub(super) fn unknown(name: &str) -> Self {
        Fault::new(904, format!("\"{name}\": invalid identifier"))
    }

    /// What PL/SQL's compiler says of a name.
    pub(super) fn undeclared(name: &str) -> Self {
        let detail = format!("PLS-00201: identifier '{name}' must be declared");
        Fault::new(
            6550,
            format!(
                "line 1, column 7:\n{detail}\nORA-06550: line 1, column 7:\nPL/SQL: Statement ignored"
            ),
        )
    }

    /// The one of that number, as the server words it.
    pub(super) fn numbered(number: u32) -> Self {
        let message = match number {
            1 => "unique constraint violated",
            28 => "your session has been killed",
            54 => "resource busy and acquire with NOWAIT specified or timeout expired",
            60 => "deadlock detected while waiting for resource",
            900 => "invalid SQL statement",
            932 => "inconsistent datatypes",
            942 => "table or view does not exist",
            955 => "name is already used by an existing object",
            1001 => "invalid cursor",
            1013 => "user requested cancel of current operation",
            1017 => "invalid username/password; logon denied",
            1031 => "insufficient privileges",
            1403 => "no data found",
            1422 => "exact fetch returns more than requested number of rows",
            1427 => "single-row subquery returns more than one row",
            1465 => "invalid hex number",
            1722 => "invalid number",
            1843 => "not a valid month",
            2291 => "integrity constraint violated - parent key not found",
            4021 => "timeout occurred while waiting to lock object",
            4025 => "maximum allowed library object lock allocated",
            6502 => "PL/SQL: numeric or value error",
            8177 => "can't serialize access for this transaction",
            12_514 => {
                "TNS:listener does not currently know of service requested in connect descriptor"
            }
            12_899 => "value too large for column",
            16_000 => "database or pluggable database open for read-only access",
            30_006 => "resource busy; acquire with WAIT timeout expired",
            _ => "an error that a test asked for",
        };
        Fault::new(number, message)
    }

    /// What SQLCODE says.
    pub(super) fn code(&self) -> i64 {
        if self.number == 1403 { 100 } else { -i64::from(self.number) }
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        format!("ORA-{:05}: {}", self.number, self.message)
    }
}
