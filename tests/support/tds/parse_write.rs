//! Reads what changes tables.

use super::ast::{Action, ColumnDef, Expr, Output, Query, Statement, TableDef, When};
use super::error::Fault;
use super::lex::Token;
use super::parse::Parser;
use super::parse_query::With;

impl Parser {
    pub(super) fn insert(&mut self) -> Result<Statement, Fault> {
        let _ = self.word("INTO");
        let table = self.name()?;
        self.hints()?;
        let columns = self.columns()?;
        let output = self.output()?;
        let query = if self.word("VALUES") {
            let rows = self.list(|parser| parser.in_brackets(Self::expr))?;
            let query = rows.into_iter().rev().fold(None, |rest, row| {
                let items = row.into_iter();
                let items =
                    items.map(|expr| super::ast::Item::Expr { expr, alias: None }).collect();
                let union = rest.map(|rest| (true, Box::new(rest)));
                Some(Query { items, union, ..Query::default() })
            });
            query.unwrap_or_default()
        } else if self.word("DEFAULT") {
            self.need("VALUES")?;
            Query { items: Vec::new(), ..Query::default() }
        } else {
            self.query()?
        };
        Ok(Statement::Insert { table, columns, output, query: Box::new(query) })
    }

    pub(super) fn update(&mut self, with: With) -> Result<Statement, Fault> {
        let top = self.top()?;
        let table = self.name()?;
        self.hints()?;
        self.need("SET")?;
        let set = self.list(Self::assignment)?;
        let output = self.output()?;
        let from = if self.word("FROM") { Some(self.sources()?) } else { None };
        let filter = if self.word("WHERE") { Some(self.expr()?) } else { None };
        Ok(Statement::Update { table, top, set, output, from, filter, with })
    }

    /// `a = e`, `t.a = e`, `a += e`
    fn assignment(&mut self) -> Result<(String, Expr), Fault> {
        let name = self.name()?;
        let column = name[0].clone();
        for (symbol, operation) in [("+=", "+"), ("-=", "-")] {
            if self.symbol(symbol) {
                let old = Box::new(Expr::Column(name));
                return Ok((column, Expr::Binary(operation, old, Box::new(self.expr()?))));
            }
        }
        self.need_symbol("=")?;
        Ok((column, self.expr()?))
    }

    pub(super) fn delete(&mut self) -> Result<Statement, Fault> {
        let top = self.top()?;
        let _ = self.word("FROM");
        let table = self.name()?;
        self.hints()?;
        let output = self.output()?;
        let from = if self.word("FROM") { Some(self.sources()?) } else { None };
        let filter = if self.word("WHERE") { Some(self.expr()?) } else { None };
        Ok(Statement::Delete { table, top, output, from, filter })
    }

    fn output(&mut self) -> Result<Option<Output>, Fault> {
        if !self.word("OUTPUT") {
            return Ok(None);
        }
        let items = self.items()?;
        let into = if self.word("INTO") { Some(self.name()?) } else { None };
        if into.is_some() {
            self.columns()?;
        }
        Ok(Some(Output { items, into }))
    }

    pub(super) fn merge(&mut self) -> Result<Statement, Fault> {
        let _ = self.word("INTO");
        let table = self.name()?;
        self.hints()?;
        let alias = self.alias()?.unwrap_or_else(|| table[0].clone());
        self.need("USING")?;
        let source = self.source()?;
        self.need("ON")?;
        let on = self.expr()?;
        let mut whens = Vec::new();
        while self.word("WHEN") {
            let when = match self.word("NOT") {
                false => When::Matched,
                true => When::NotMatched,
            };
            self.need("MATCHED")?;
            let mut when = when;
            if self.word("BY") {
                if self.word("SOURCE") {
                    when = When::NotMatchedBySource;
                } else {
                    self.need("TARGET")?;
                }
            }
            let condition = if self.word("AND") { Some(self.expr()?) } else { None };
            self.need("THEN")?;
            whens.push((when, condition, self.action()?));
        }
        let output = self.output()?;
        // The server insists on it.
        self.need_symbol(";")?;
        Ok(Statement::Merge { table, alias, source, on, whens, output })
    }

    fn action(&mut self) -> Result<Action, Fault> {
        if self.word("DELETE") {
            return Ok(Action::Delete);
        }
        if self.word("UPDATE") {
            self.need("SET")?;
            return Ok(Action::Update(self.list(Self::assignment)?));
        }
        self.need("INSERT")?;
        let columns = self.columns()?;
        self.need("VALUES")?;
        Ok(Action::Insert { columns, values: self.in_brackets(Self::expr)? })
    }

    /// A table's columns and constraints, in brackets.
    pub(super) fn table_def(&mut self) -> Result<TableDef, Fault> {
        let mut table = TableDef { columns: Vec::new(), key: Vec::new() };
        self.need_symbol("(")?;
        loop {
            if self.word("CONSTRAINT") {
                self.name_part()?;
            }
            if self.is_word("PRIMARY") || self.is_word("UNIQUE") {
                self.key(&mut table, None)?;
            } else if self.word("CHECK") {
                self.in_brackets(Self::expr)?;
            } else {
                let column = self.column_def(&mut table)?;
                table.columns.push(column);
            }
            if !self.symbol(",") {
                break;
            }
        }
        self.need_symbol(")")?;
        let key = &table.key;
        for column in &mut table.columns {
            column.nullable &= !key.iter().any(|name| name.eq_ignore_ascii_case(&column.name));
        }
        Ok(table)
    }

    fn column_def(&mut self, table: &mut TableDef) -> Result<ColumnDef, Fault> {
        let (name, of) = (self.name_part()?, self.type_name()?);
        let mut column = ColumnDef { name, of, nullable: true, binary: false, default: None };
        loop {
            if self.word("NULL") || (self.word("CONSTRAINT") && self.name_part().is_ok()) {
                continue;
            } else if self.word("NOT") {
                self.need("NULL")?;
                column.nullable = false;
            } else if self.word("COLLATE") {
                column.binary = self.name_part()?.to_ascii_uppercase().contains("_BIN");
            } else if self.word("DEFAULT") {
                column.default = Some(self.expr()?);
            } else if self.word("CHECK") {
                self.in_brackets(Self::expr)?;
            } else if self.is_word("PRIMARY") || self.is_word("UNIQUE") {
                self.key(table, Some(&column.name))?;
            } else {
                return Ok(column);
            }
        }
    }

    fn key(&mut self, table: &mut TableDef, column: Option<&str>) -> Result<(), Fault> {
        let is_primary = self.word("PRIMARY");
        if is_primary {
            self.need("KEY")?
        } else {
            self.need("UNIQUE")?
        }
        let _ = self.word("CLUSTERED") || self.word("NONCLUSTERED");
        let mut columns = match column {
            Some(column) => vec![column.to_owned()],
            None => self.in_brackets(|parser| {
                let name = parser.name_part()?;
                let _ = parser.word("ASC") || parser.word("DESC");
                Ok(name)
            })?,
        };
        if self.word("WITH") {
            self.need_symbol("(")?;
            while !self.symbol(")") {
                if self.next() == Token::End {
                    return Err(self.unexpected());
                }
            }
        }
        if is_primary {
            table.key.append(&mut columns);
        }
        Ok(())
    }
}
