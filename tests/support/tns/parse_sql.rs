//! Reads statements of SQL.

use super::ast::{
    Column, Dml, Expr, From, Query, Returning, Rows, Source, Statement, Target, Waits,
};
use super::fault::Fault;
use super::lex::Token;
use super::parse::Parser;
use super::value::{Type, Value};

/// Words that are no alias after a table's name.
const NO_ALIAS: [&str; 16] = [
    "WHERE",
    "SET",
    "JOIN",
    "LEFT",
    "INNER",
    "CROSS",
    "ON",
    "GROUP",
    "ORDER",
    "FETCH",
    "FOR",
    "UNION",
    "USING",
    "VALUES",
    "RETURNING",
    "LOOP",
];

impl Parser {
    pub(super) fn statement(&mut self) -> Result<Statement, Fault> {
        if self.is("SELECT") {
            return Ok(Statement::Query(self.query(&mut Vec::new())?));
        }
        if self.is("BEGIN") || self.is("DECLARE") {
            return Ok(Statement::Block(self.block()?.into()));
        }
        if ["INSERT", "UPDATE", "DELETE", "MERGE"].into_iter().any(|word| self.is(word)) {
            return Ok(Statement::Dml(self.dml()?));
        }
        if self.takes("COMMIT") {
            self.takes("WORK");
            return Ok(Statement::Commit);
        }
        if self.takes("ROLLBACK") {
            self.takes("WORK");
            let named = self.takes("TO");
            self.takes("SAVEPOINT");
            return Ok(Statement::Rollback(if named { Some(self.name()?) } else { None }));
        }
        if self.takes("SAVEPOINT") {
            return Ok(Statement::Savepoint(self.name()?));
        }
        if self.takes("CREATE TABLE") || self.takes("CREATE GLOBAL TEMPORARY TABLE") {
            return self.create_table();
        }
        if self.takes("DROP TABLE") {
            let table = self.table()?;
            self.takes("PURGE");
            return Ok(Statement::DropTable(table));
        }
        if self.takes("TRUNCATE TABLE") {
            return Ok(Statement::TruncateTable(self.table()?));
        }
        if self.takes("LOCK TABLE") {
            let table = self.table()?;
            while !matches!(self.peek(), Token::End | Token::Symbol(";")) {
                self.next();
            }
            return Ok(Statement::LockTable(table));
        }
        if self.takes("ALTER SYSTEM") {
            let disconnects = self.takes("DISCONNECT");
            if !disconnects {
                self.expect("KILL")?;
            }
            self.expect("SESSION")?;
            let Token::Text(session) = self.next() else { return Err(self.wrong()) };
            while matches!(self.peek(), Token::Word(_)) {
                self.next();
            }
            return Ok(Statement::Kill { session, disconnects });
        }
        if self.is("ALTER") || (self.is("SET") && self.is_ahead(1, "TRANSACTION")) {
            while !matches!(self.peek(), Token::End | Token::Symbol(";")) {
                self.next();
            }
            return Ok(Statement::Nothing);
        }
        Err(self.wrong())
    }

    /// A query, and what `INTO` says in it.
    pub(super) fn query(&mut self, into: &mut Vec<Target>) -> Result<Query, Fault> {
        self.expect("SELECT")?;
        self.takes("DISTINCT");
        let mut query = Query { columns: self.commas(Parser::column)?, ..Query::default() };
        if self.takes("INTO") {
            *into = self.commas(Parser::target)?;
        }
        if self.takes("FROM") {
            self.sources(&mut query.from)?;
        }
        if self.takes("WHERE") {
            query.filter = Some(self.expr()?);
        }
        if self.takes("GROUP BY") {
            query.group = self.commas(Parser::expr)?;
        }
        if self.takes("UNION ALL") {
            query.more = Some(Box::new(self.query(&mut Vec::new())?));
        }
        if self.takes("ORDER BY") {
            query.order = self.commas(|parser| {
                let by = parser.expr()?;
                let descends = parser.takes("DESC");
                let _ = parser.takes("ASC");
                let _ = parser.takes("NULLS LAST") || parser.takes("NULLS FIRST");
                Ok((by, descends))
            })?;
        }
        if self.takes("FETCH FIRST") || self.takes("FETCH NEXT") {
            let is_one = self.is("ROW") || self.is("ROWS");
            query.first = Some(if is_one { Expr::Literal(Value::Int(1)) } else { self.expr()? });
            let _ = self.takes("ROWS ONLY") || self.takes("ROW ONLY");
        }
        if self.takes("FOR UPDATE") {
            if self.takes("OF") {
                self.commas(Parser::path)?;
            }
            query.for_update = Some(self.waits());
        }
        Ok(query)
    }

    fn waits(&mut self) -> Waits {
        if self.takes("NOWAIT") {
            return Waits::Seconds(0);
        }
        if self.takes("SKIP LOCKED") {
            return Waits::Skip;
        }
        match (self.takes("WAIT"), self.peek().clone()) {
            (true, Token::Int(seconds)) => {
                self.next();
                Waits::Seconds(seconds)
            }
            _ => Waits::Forever,
        }
    }

    fn column(&mut self) -> Result<(Option<Expr>, String), Fault> {
        if self.takes("*") {
            return Ok((None, String::new()));
        }
        if self.is_ahead(1, ".") && self.is_ahead(2, "*") {
            let alias = self.name()?;
            self.expect(". *")?;
            return Ok((None, alias));
        }
        let expr = self.expr()?;
        let named = self.takes("AS");
        let name = match (self.peek(), &expr) {
            (Token::Word(word), _)
                if named
                    || !["FROM", "INTO", "BULK"].contains(&word.as_str())
                        && self.is_end_of_column(1) =>
            {
                self.name()?
            }
            (Token::Name(_), _) => self.name()?,
            (_, Expr::Name(path)) => path.last().cloned().unwrap_or_default(),
            _ => String::new(),
        };
        Ok((Some(expr), name))
    }

    fn is_end_of_column(&self, ahead: usize) -> bool {
        [",", "FROM", "INTO", ")", "UNION", ";"].into_iter().any(|word| self.is_ahead(ahead, word))
            || *self.ahead(ahead) == Token::End
    }

    fn sources(&mut self, sources: &mut Vec<Source>) -> Result<(), Fault> {
        sources.push(self.source()?);
        loop {
            if self.takes(",") || self.takes("CROSS JOIN") {
                sources.push(self.source()?);
                continue;
            }
            let is_left = self.takes("LEFT JOIN") || self.takes("LEFT OUTER JOIN");
            if !is_left && !self.takes("JOIN") && !self.takes("INNER JOIN") {
                return Ok(());
            }
            let mut source = self.source()?;
            self.expect("ON")?;
            (source.on, source.is_left) = (Some(self.expr()?), is_left);
            sources.push(source);
        }
    }

    fn source(&mut self) -> Result<Source, Fault> {
        let (what, name) = if self.is("(") {
            (From::Query(Box::new(self.query_between_brackets()?)), String::new())
        } else {
            let table = self.table()?;
            (From::Table(table.clone()), table)
        };
        let alias = self.alias(name)?;
        Ok(Source { what, alias, on: None, is_left: false })
    }

    fn alias(&mut self, table: String) -> Result<String, Fault> {
        match self.peek() {
            Token::Word(word) if !NO_ALIAS.contains(&word.as_str()) => self.name(),
            Token::Name(_) => self.name(),
            _ => Ok(table),
        }
    }

    pub(super) fn dml(&mut self) -> Result<Dml, Fault> {
        if self.takes("INSERT INTO") {
            let table = self.table()?;
            let columns = if self.is("(") { self.list(Parser::name)? } else { Vec::new() };
            let rows = match self.takes("VALUES") {
                true => Rows::Values(self.list(Parser::expr)?),
                false => Rows::Query(Box::new(self.query(&mut Vec::new())?)),
            };
            return Ok(Dml::Insert { table, columns, rows, returning: self.returning()? });
        }
        if self.takes("UPDATE") {
            let (table, alias) = self.aliased()?;
            self.expect("SET")?;
            let set = self.commas(Parser::assignment)?;
            let filter = if self.takes("WHERE") { Some(self.expr()?) } else { None };
            return Ok(Dml::Update { table, alias, set, filter, returning: self.returning()? });
        }
        if self.takes("DELETE") {
            self.takes("FROM");
            let (table, alias) = self.aliased()?;
            let filter = if self.takes("WHERE") { Some(self.expr()?) } else { None };
            return Ok(Dml::Delete { table, alias, filter, returning: self.returning()? });
        }
        self.expect("MERGE INTO")?;
        let (table, alias) = self.aliased()?;
        self.expect("USING")?;
        let using = Box::new(self.source()?);
        self.expect("ON")?;
        let on = self.expr()?;
        let (mut update, mut insert) = (None, None);
        while self.takes("WHEN") {
            if self.takes("MATCHED THEN UPDATE SET") {
                let set = self.commas(Parser::assignment)?;
                update = Some((set, if self.takes("WHERE") { Some(self.expr()?) } else { None }));
            } else {
                self.expect("NOT MATCHED THEN INSERT")?;
                let columns = if self.is("(") { self.list(Parser::name)? } else { Vec::new() };
                self.expect("VALUES")?;
                let values = self.list(Parser::expr)?;
                insert = Some((
                    columns,
                    values,
                    if self.takes("WHERE") { Some(self.expr()?) } else { None },
                ));
            }
        }
        Ok(Dml::Merge { table, alias, using, on, update, insert })
    }

    fn aliased(&mut self) -> Result<(String, String), Fault> {
        let table = self.table()?;
        let alias = self.alias(table.clone())?;
        Ok((table, alias))
    }

    fn assignment(&mut self) -> Result<(String, Expr), Fault> {
        let column = self.path()?.pop().unwrap_or_default();
        self.expect("=")?;
        Ok((column, self.expr()?))
    }

    fn returning(&mut self) -> Result<Option<Returning>, Fault> {
        if !self.takes("RETURNING") && !self.takes("RETURN") {
            return Ok(None);
        }
        let columns = self.commas(Parser::expr)?;
        self.expect("INTO")?;
        let into = self.commas(Parser::target)?;
        for target in &into {
            if let Target::Bind(bind) = target {
                self.binds[*bind].returns = !self.is_block;
            }
        }
        Ok(Some(Returning { columns, into }))
    }

    fn create_table(&mut self) -> Result<Statement, Fault> {
        let table = self.table()?;
        let (mut columns, mut key) = (Vec::new(), Vec::new());
        self.expect("(")?;
        loop {
            if self.takes("CONSTRAINT") {
                self.name()?;
            }
            if self.takes("PRIMARY KEY") {
                key = self.list(Parser::name)?;
            } else {
                let name = self.name()?;
                let (of, type_name) = self.type_of()?;
                let mut column = Column { name, of, type_name, not_null: false, default: None };
                loop {
                    if self.takes("NOT NULL") {
                        column.not_null = true;
                    } else if self.takes("CONSTRAINT") {
                        self.name()?;
                    } else if self.takes("PRIMARY KEY") {
                        key = vec![column.name.clone()];
                    } else if self.takes("DEFAULT") {
                        column.default = Some(self.expr()?);
                    } else if !self.takes("NULL") && !self.takes("ENABLE") {
                        break;
                    }
                }
                columns.push(column);
            }
            if !self.takes(",") {
                break;
            }
        }
        self.expect(")")?;
        while !matches!(self.peek(), Token::End | Token::Symbol(";")) {
            self.next();
        }
        for column in &mut columns {
            column.not_null |= key.contains(&column.name);
            if column.of == Type::Text(32_767) {
                column.of = Type::Text(4000);
            }
        }
        Ok(Statement::CreateTable { table, columns, key })
    }
}
