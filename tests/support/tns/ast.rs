//! What statements say.

use std::sync::Arc;

use super::value::{Type, Value};

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Literal(Value),
    /// The bind of that number, from 0.
    Bind(usize),
    /// `a`, `t.a`, `DBMS_LOCK.X_MODE`, `SQL%ROWCOUNT`
    Name(Vec<String>),
    Call(Vec<String>, Vec<Argument>),
    Negative(Box<Expr>),
    Not(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    IsNull(Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    InQuery(Box<Expr>, Box<Query>),
    Case {
        operand: Option<Box<Expr>>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast(Box<Expr>, Type),
    /// `EXTRACT(DAY FROM …)`
    Extract(String, Box<Expr>),
    AtZone(Box<Expr>, Box<Expr>),
    Exists(Box<Query>),
    Scalar(Box<Query>),
    /// `count(*)` and the like; none: all rows.
    Aggregate(&'static str, Option<Box<Expr>>),
}

#[derive(Debug, Clone)]
pub(super) struct Argument {
    /// `name => …`
    pub(super) name: Option<String>,
    pub(super) value: Expr,
}

/// How long a statement waits for rows of others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Waits {
    Forever,
    Seconds(i64),
    Skip,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    /// With their names; none: `*`.
    pub(super) columns: Vec<(Option<Expr>, String)>,
    pub(super) from: Vec<Source>,
    pub(super) filter: Option<Expr>,
    pub(super) group: Vec<Expr>,
    pub(super) order: Vec<(Expr, bool)>,
    pub(super) first: Option<Expr>,
    pub(super) for_update: Option<Waits>,
    /// UNION ALL
    pub(super) more: Option<Box<Query>>,
}

#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) what: From,
    pub(super) alias: String,
    /// Joined by that condition; LEFT, if also without one that it is true for.
    pub(super) on: Option<Expr>,
    pub(super) is_left: bool,
}

#[derive(Debug, Clone)]
pub(super) enum From {
    Table(String),
    Query(Box<Query>),
}

#[derive(Debug, Clone)]
pub(super) struct Returning {
    pub(super) columns: Vec<Expr>,
    pub(super) into: Vec<Target>,
}

/// Columns, and what they are to be.
pub(super) type Assignments = Vec<(String, Expr)>;

#[derive(Debug, Clone)]
pub(super) enum Dml {
    Insert {
        table: String,
        columns: Vec<String>,
        rows: Rows,
        returning: Option<Returning>,
    },
    Update {
        table: String,
        alias: String,
        set: Vec<(String, Expr)>,
        filter: Option<Expr>,
        returning: Option<Returning>,
    },
    Delete {
        table: String,
        alias: String,
        filter: Option<Expr>,
        returning: Option<Returning>,
    },
    Merge {
        table: String,
        alias: String,
        using: Box<Source>,
        on: Expr,
        update: Option<(Assignments, Option<Expr>)>,
        insert: Option<(Vec<String>, Vec<Expr>, Option<Expr>)>,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Rows {
    Values(Vec<Expr>),
    Query(Box<Query>),
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Bind(usize),
    Name(Vec<String>),
}

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) of: Type,
    /// As the views say it.
    pub(super) type_name: String,
    pub(super) not_null: bool,
    pub(super) default: Option<Expr>,
}

#[derive(Debug, Clone)]
pub(super) enum Statement {
    Query(Query),
    Dml(Dml),
    Block(Arc<Block>),
    CreateTable {
        table: String,
        columns: Vec<Column>,
        key: Vec<String>,
    },
    DropTable(String),
    TruncateTable(String),
    LockTable(String),
    Commit,
    /// To a savepoint, if one is named.
    Rollback(Option<String>),
    Savepoint(String),
    /// ALTER SYSTEM KILL (or DISCONNECT) SESSION
    Kill {
        session: String,
        disconnects: bool,
    },
    /// What changes nothing here: ALTER SESSION and the like.
    Nothing,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub(super) declarations: Vec<Declaration>,
    pub(super) is_autonomous: bool,
    pub(super) body: Vec<Command>,
    /// Names of exceptions, and what is done about them.
    pub(super) handlers: Vec<(Vec<String>, Vec<Command>)>,
}

#[derive(Debug, Clone)]
pub(super) enum Declaration {
    Variable(String, Type, Option<Expr>),
    Exception(String),
    /// PRAGMA EXCEPTION_INIT
    Number(String, i64),
    Routine(Arc<Routine>),
}

/// A procedure or function that a block declares.
#[derive(Debug)]
pub(super) struct Routine {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) block: Block,
}

#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) is_out: bool,
    pub(super) of: Type,
    pub(super) default: Option<Expr>,
}

#[derive(Debug, Clone)]
pub(super) enum Command {
    Null,
    Assign(Target, Expr),
    Call(Expr),
    If(Vec<(Expr, Vec<Command>)>, Vec<Command>),
    Loop(Vec<Command>),
    While(Expr, Vec<Command>),
    /// From, to, and whether backwards.
    For(String, Expr, Expr, bool, Vec<Command>),
    ForRows(String, Query, Vec<Command>),
    Exit(Option<Expr>),
    Continue(Option<Expr>),
    Return(Option<Expr>),
    Raise(Option<String>),
    Block(Block),
    SelectInto(Query, Vec<Target>),
    Immediate {
        sql: Expr,
        into: Vec<Target>,
        using: Vec<Expr>,
    },
    Sql(Box<Statement>),
}
