//! Reads queries.

use super::ast::{Expr, Item, Join, Query, Source};
use super::error::Fault;
use super::lex::Token;
use super::parse::Parser;
use super::value::Type;

/// `WITH`'s parts.
pub(super) type With = Vec<(String, Vec<String>, Query)>;

impl Parser {
    /// `WITH x AS (…), …`, if it is there.
    pub(super) fn with(&mut self) -> Result<With, Fault> {
        if !self.word("WITH") {
            return Ok(With::new());
        }
        self.list(|parser| {
            let name = parser.name_part()?;
            let columns = parser.columns()?;
            parser.need("AS")?;
            parser.need_symbol("(")?;
            let query = parser.query()?;
            parser.need_symbol(")")?;
            Ok((name, columns, query))
        })
    }

    /// `(a, b)`, if it is there.
    pub(super) fn columns(&mut self) -> Result<Vec<String>, Fault> {
        match self.is_symbol("(") {
            true => self.in_brackets(Self::name_part),
            false => Ok(Vec::new()),
        }
    }

    pub(super) fn query(&mut self) -> Result<Query, Fault> {
        let with = self.with()?;
        let mut query = self.part()?;
        query.with = with;
        if self.word("ORDER") {
            self.need("BY")?;
            query.order = self.list(|parser| {
                let expr = parser.expr()?;
                let descends = parser.word("DESC");
                let _ = parser.word("ASC");
                Ok((expr, descends))
            })?;
        }
        if self.word("OPTION") {
            self.need_symbol("(")?;
            while !self.symbol(")") {
                self.next();
            }
        }
        Ok(query)
    }

    /// One of those that UNION puts together.
    fn part(&mut self) -> Result<Query, Fault> {
        self.need("SELECT")?;
        let mut query = Query { distinct: self.word("DISTINCT"), ..Query::default() };
        let _ = self.word("ALL");
        query.top = self.top()?;
        query.items = self.items()?;
        if self.word("FROM") {
            query.from = Some(self.sources()?);
        }
        if self.word("WHERE") {
            query.filter = Some(self.expr()?);
        }
        if self.word("GROUP") {
            self.need("BY")?;
            query.group = self.list(Self::expr)?;
        }
        if self.word("HAVING") {
            query.having = Some(self.expr()?);
        }
        if self.word("UNION") {
            let all = self.word("ALL");
            query.union = Some((all, Box::new(self.part()?)));
        }
        Ok(query)
    }

    pub(super) fn top(&mut self) -> Result<Option<Expr>, Fault> {
        if !self.word("TOP") {
            return Ok(None);
        }
        if let Token::Int(_) = self.peek() {
            return self.literal().map(Some);
        }
        self.need_symbol("(")?;
        let top = self.expr()?;
        self.need_symbol(")")?;
        Ok(Some(top))
    }

    /// One number: what follows `TOP 1` is no part of it, not even `*`.
    fn literal(&mut self) -> Result<Expr, Fault> {
        match self.next() {
            Token::Int(int) => Ok(Expr::Literal(super::value::Value::Int(int), Type::Int)),
            _ => Err(self.unexpected()),
        }
    }

    pub(super) fn items(&mut self) -> Result<Vec<Item>, Fault> {
        self.list(Self::item)
    }

    fn item(&mut self) -> Result<Item, Fault> {
        if self.symbol("*") {
            return Ok(Item::All(None));
        }
        let first = self.peek().clone();
        if let (Token::Word(word), Token::Symbol("=")) = (&first, self.peek_second()) {
            let name = word.clone();
            self.next();
            self.next();
            let expr = self.expr()?;
            return Ok(match name.starts_with('@') {
                true => Item::Assign { variable: name.to_ascii_lowercase(), expr },
                false => Item::Expr { expr, alias: Some(name) },
            });
        }
        if let (Token::Word(name) | Token::Name(name), Token::Symbol(".")) =
            (&first, self.peek_second())
        {
            let name = name.clone();
            if self.is_star_of() {
                for _ in 0..3 {
                    self.next();
                }
                return Ok(Item::All(Some(name)));
            }
        }
        let expr = self.expr()?;
        let alias = self.alias()?;
        Ok(Item::Expr { expr, alias })
    }

    /// All of FROM.
    pub(super) fn sources(&mut self) -> Result<Source, Fault> {
        let mut left = self.joined()?;
        while self.symbol(",") {
            let right = Box::new(self.joined()?);
            left = Source::Join { left: Box::new(left), right, kind: Join::Apply, on: None };
        }
        Ok(left)
    }

    fn joined(&mut self) -> Result<Source, Fault> {
        let mut left = self.source()?;
        loop {
            let (kind, has_on) = if self.word("CROSS") {
                let applies = self.word("APPLY");
                if !applies {
                    self.need("JOIN")?;
                }
                (Join::Apply, false)
            } else if self.word("OUTER") {
                self.need("APPLY")?;
                (Join::OuterApply, false)
            } else if self.word("LEFT") {
                let _ = self.word("OUTER");
                self.need("JOIN")?;
                (Join::Left, true)
            } else if self.word("INNER") {
                self.need("JOIN")?;
                (Join::Inner, true)
            } else if self.word("JOIN") {
                (Join::Inner, true)
            } else {
                return Ok(left);
            };
            let right = Box::new(self.source()?);
            let on = match has_on {
                true => {
                    self.need("ON")?;
                    Some(self.expr()?)
                }
                false => None,
            };
            left = Source::Join { left: Box::new(left), right, kind, on };
        }
    }

    pub(super) fn source(&mut self) -> Result<Source, Fault> {
        if self.symbol("(") {
            if self.word("VALUES") {
                let rows = self.list(|parser| parser.in_brackets(Self::expr))?;
                self.need_symbol(")")?;
                let alias = self.alias()?.unwrap_or_default();
                return Ok(Source::Values { rows, alias, columns: self.columns()? });
            }
            if self.is_word("SELECT") || self.is_word("WITH") {
                let query = Box::new(self.query()?);
                self.need_symbol(")")?;
                let alias = self.alias()?.unwrap_or_default();
                return Ok(Source::Query { query, alias, columns: self.columns()? });
            }
            let source = self.joined()?;
            self.need_symbol(")")?;
            return Ok(source);
        }
        let name = self.name()?;
        if self.is_symbol("(") && name.len() == 1 {
            return self.function(&name[0]);
        }
        let alias = self.alias()?;
        self.hints()?;
        // The alias may come behind the hints as well.
        let alias = match alias {
            Some(alias) => alias,
            None => self.alias()?.unwrap_or_else(|| name[0].clone()),
        };
        Ok(Source::Table { name, alias })
    }

    /// `OPENJSON(@x) WITH (a int '$[0]', …)`, `STRING_SPLIT(@x, ',')`
    fn function(&mut self, name: &str) -> Result<Source, Fault> {
        let arguments = self.in_brackets(Self::expr)?;
        let mut columns =
            vec![("key".into(), Type::Text(None)), ("value".into(), Type::Text(None))];
        if self.word("WITH") {
            columns = self.in_brackets(|parser| {
                let column = (parser.name_part()?, parser.type_name()?);
                if let Token::Text(_) = parser.peek() {
                    parser.next();
                }
                Ok(column)
            })?;
        }
        let alias = self.alias()?.unwrap_or_else(|| name.to_owned());
        let call = Box::new(Expr::Call(name.to_ascii_uppercase(), arguments));
        Ok(Source::Function { call, columns, alias })
    }
}
