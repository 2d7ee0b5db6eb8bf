//! What a batch says.

use super::value::{Type, Value};

/// The parts of a name, the last one first.
pub(super) type Name = Vec<String>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Literal(Value, Type),
    /// `@x`, `@@x`
    Variable(String),
    /// A column, as `alias.name` or `name`.
    Column(Name),
    /// `COUNT(*)`'s argument.
    Star,
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    Case {
        of: Option<Box<Expr>>,
        whens: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    /// With `TRY_`, NULL instead of an error.
    Cast {
        of: Box<Expr>,
        to: Type,
        tries: bool,
    },
    /// `true`: by bytes.
    Collate(Box<Expr>, bool),
    IsNull(Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    InQuery(Box<Expr>, Box<Query>),
    Like(Box<Expr>, Box<Expr>),
    Exists(Box<Query>),
    Scalar(Box<Query>),
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// `*`, `alias.*`
    All(Option<String>),
    Expr {
        expr: Expr,
        alias: Option<String>,
    },
    /// `@x = expr`
    Assign {
        variable: String,
        expr: Expr,
    },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Query {
    /// `WITH name (columns) AS (query)`
    pub(super) with: Vec<(String, Vec<String>, Query)>,
    pub(super) distinct: bool,
    pub(super) top: Option<Expr>,
    pub(super) items: Vec<Item>,
    pub(super) from: Option<Source>,
    pub(super) filter: Option<Expr>,
    pub(super) group: Vec<Expr>,
    pub(super) having: Option<Expr>,
    /// `true`: descending.
    pub(super) order: Vec<(Expr, bool)>,
    /// What follows `UNION ALL` (`true`) or `UNION`.
    pub(super) union: Option<(bool, Box<Query>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    Inner,
    Left,
    /// The right side may speak of the left one.
    Apply,
    OuterApply,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    Table {
        name: Name,
        alias: String,
    },
    Values {
        rows: Vec<Vec<Expr>>,
        alias: String,
        columns: Vec<String>,
    },
    Query {
        query: Box<Query>,
        alias: String,
        columns: Vec<String>,
    },
    /// `OPENJSON(e) WITH (name type 'path', …)`, `STRING_SPLIT(a, b)`
    Function {
        call: Box<Expr>,
        columns: Vec<(String, Type)>,
        alias: String,
    },
    Join {
        left: Box<Source>,
        right: Box<Source>,
        kind: Join,
        on: Option<Expr>,
    },
}

/// `OUTPUT … [INTO @t]`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Output {
    pub(super) items: Vec<Item>,
    pub(super) into: Option<Name>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnDef {
    pub(super) name: String,
    pub(super) of: Type,
    pub(super) nullable: bool,
    /// Its text compares by bytes.
    pub(super) binary: bool,
    pub(super) default: Option<Expr>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct TableDef {
    pub(super) columns: Vec<ColumnDef>,
    /// Of the primary key.
    pub(super) key: Vec<String>,
}

/// What to do with a row of a MERGE.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Update(Vec<(String, Expr)>),
    Insert { columns: Vec<String>, values: Vec<Expr> },
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Matched,
    NotMatched,
    NotMatchedBySource,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    Declare(Vec<(String, Type, Option<Expr>)>),
    DeclareTable(String, TableDef),
    Set(String, Expr),
    /// `SET NOCOUNT ON`
    Option(String, Option<Expr>),
    Execute {
        result: Option<String>,
        procedure: Name,
        arguments: Vec<(Option<String>, Expr)>,
    },
    Query(Query),
    Insert {
        table: Name,
        columns: Vec<String>,
        output: Option<Output>,
        query: Box<Query>,
    },
    /// `table` may be an alias in `from`.
    Update {
        table: Name,
        top: Option<Expr>,
        set: Vec<(String, Expr)>,
        output: Option<Output>,
        from: Option<Source>,
        filter: Option<Expr>,
        with: Vec<(String, Vec<String>, Query)>,
    },
    Delete {
        table: Name,
        top: Option<Expr>,
        output: Option<Output>,
        from: Option<Source>,
        filter: Option<Expr>,
    },
    Merge {
        table: Name,
        alias: String,
        source: Source,
        on: Expr,
        whens: Vec<(When, Option<Expr>, Action)>,
        output: Option<Output>,
    },
    CreateTable(Name, TableDef),
    DropTable(Name, bool),
    CreateDatabase(String),
    DropDatabase(String, bool),
    /// What makes no difference here: an index, a schema.
    Nothing,
    Use(String),
    Begin(Option<String>),
    Save(String),
    Commit,
    Rollback(Option<String>),
    Kill(Expr),
    Wait(Expr),
    If(Expr, Box<Statement>, Option<Box<Statement>>),
    While(Expr, Box<Statement>),
    Block(Vec<Statement>),
    Try(Vec<Statement>, Vec<Statement>),
    Throw(Option<(Expr, Expr)>),
    Print,
    Return(Option<Expr>),
    Break,
    Continue,
}
