//! Reads statements: what all kinds of them have in common.

use std::collections::HashMap;

use super::ast::{Query, Statement};
use super::fault::Fault;
use super::lex::{Token, tokens};
use super::value::Type;

/// Which binds there are, and what is done with them.
#[derive(Debug, Clone, Default)]
pub(super) struct Bind {
    pub(super) name: String,
    pub(super) is_read: bool,
    pub(super) is_written: bool,
    /// By RETURNING … INTO of a statement that is no block.
    pub(super) returns: bool,
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    pub(super) binds: Vec<Bind>,
    /// In a block a bind has its name; in other statements, its place.
    pub(super) is_block: bool,
    /// Routines of blocks around this place, and which of their parameters they write.
    pub(super) routines: HashMap<String, Vec<bool>>,
    tables: Vec<String>,
}

/// Reads one statement: with its binds, and the tables that it is about.
pub(super) fn statement(sql: &str) -> Result<(Statement, Vec<Bind>, Vec<String>), Fault> {
    let tokens = tokens(sql)?;
    let is_block = matches!(&tokens[0], Token::Word(word) if word == "BEGIN" || word == "DECLARE");
    let mut parser = Parser {
        tokens,
        at: 0,
        binds: Vec::new(),
        is_block,
        routines: HashMap::new(),
        tables: Vec::new(),
    };
    let statement = parser.statement()?;
    parser.takes(";");
    if *parser.peek() != Token::End {
        return Err(parser.wrong());
    }
    Ok((statement, parser.binds, parser.tables))
}

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, by: usize) -> &Token {
        self.tokens.get(self.at + by).unwrap_or(&Token::End)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    pub(super) fn back(&mut self) {
        self.at -= 1;
    }

    /// That this word cannot stand here.
    pub(super) fn wrong(&self) -> Fault {
        Fault::syntax(format!(
            "this double does not know what {:?} means after {:?}",
            self.peek(),
            self.tokens[self.at.saturating_sub(6)..self.at.min(self.tokens.len())].to_vec()
        ))
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.is_ahead(0, word)
    }

    pub(super) fn is_ahead(&self, by: usize, word: &str) -> bool {
        match self.ahead(by) {
            Token::Word(found) => found == word,
            Token::Symbol(found) => *found == word,
            _ => false,
        }
    }

    /// Takes these words, if they stand here.
    pub(super) fn takes(&mut self, words: &str) -> bool {
        let count = words.split(' ').count();
        let found = words.split(' ').enumerate().all(|(at, word)| self.is_ahead(at, word));
        if found {
            self.at += count;
        }
        found
    }

    pub(super) fn expect(&mut self, words: &str) -> Result<(), Fault> {
        if self.takes(words) { Ok(()) } else { Err(self.wrong()) }
    }

    pub(super) fn name(&mut self) -> Result<String, Fault> {
        match self.next() {
            Token::Word(name) | Token::Name(name) => Ok(name),
            _ => {
                self.at -= 1;
                Err(self.wrong())
            }
        }
    }

    /// `a.b.c`
    pub(super) fn path(&mut self) -> Result<Vec<String>, Fault> {
        let mut path = vec![self.name()?];
        while self.takes(".") {
            path.push(self.name()?);
        }
        Ok(path)
    }

    /// A table's name; whose it is does not matter here.
    pub(super) fn table(&mut self) -> Result<String, Fault> {
        let table = self.path()?.pop().unwrap_or_default();
        self.tables.push(table.clone());
        Ok(table)
    }

    /// What stands between brackets, with commas between.
    pub(super) fn list<T>(
        &mut self,
        one: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        self.expect("(")?;
        let all = self.commas(one)?;
        self.expect(")")?;
        Ok(all)
    }

    pub(super) fn commas<T>(
        &mut self,
        one: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut all = vec![one(self)?];
        while self.takes(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// The number of a bind that stands here.
    pub(super) fn bind(&mut self, name: String) -> usize {
        let known = self.binds.iter().position(|bind| self.is_block && bind.name == name);
        known.unwrap_or_else(|| {
            self.binds.push(Bind { name, ..Bind::default() });
            self.binds.len() - 1
        })
    }

    /// A type, and how the views call it.
    pub(super) fn type_of(&mut self) -> Result<(Type, String), Fault> {
        let mut path = self.path()?;
        let mut name = path.pop().unwrap_or_default();
        // `table.column%TYPE`, `table%ROWTYPE`
        if self.takes("%") {
            self.name()?;
            return Ok((Type::Any, name));
        }
        let mut sizes = Vec::new();
        if self.takes("(") {
            while !self.takes(")") {
                if let Token::Int(size) = self.next() {
                    sizes.push(size);
                }
            }
        }
        let size = sizes.first().and_then(|size| usize::try_from(*size).ok());
        let of = match name.as_str() {
            "NUMBER" | "DECIMAL" | "NUMERIC" if sizes.len() == 1 || sizes.get(1) == Some(&0) => {
                Type::Integer
            }
            "NUMBER" | "DECIMAL" | "NUMERIC" | "FLOAT" | "BINARY_DOUBLE" | "BINARY_FLOAT" => {
                Type::Number
            }
            "INTEGER" | "INT" | "SMALLINT" | "PLS_INTEGER" | "BINARY_INTEGER"
            | "SIMPLE_INTEGER" | "NATURAL" | "POSITIVE" => Type::Integer,
            "VARCHAR2" | "VARCHAR" | "NVARCHAR2" | "CHAR" | "NCHAR" => {
                Type::Text(size.unwrap_or(32_767))
            }
            "RAW" => Type::Bytes(size.unwrap_or(32_767)),
            "BOOLEAN" => Type::Bool,
            "DATE" => Type::Date,
            "TIMESTAMP" if self.takes("WITH TIME ZONE") || self.takes("WITH LOCAL TIME ZONE") => {
                Type::Zoned
            }
            "TIMESTAMP" => Type::Time,
            "INTERVAL" => {
                self.expect("DAY")?;
                self.precision();
                self.expect("TO SECOND")?;
                self.precision();
                Type::Interval
            }
            _ => return Err(Fault::new(902, format!("invalid datatype: {name}"))),
        };
        if matches!(of, Type::Time | Type::Zoned) {
            name = format!("TIMESTAMP({})", size.unwrap_or(6));
        }
        if of == Type::Zoned {
            name.push_str(" WITH TIME ZONE");
        }
        Ok((of, name))
    }

    /// `(9)`, if it is there.
    fn precision(&mut self) {
        if self.takes("(") {
            self.next();
            self.takes(")");
        }
    }

    pub(super) fn query_between_brackets(&mut self) -> Result<Query, Fault> {
        self.expect("(")?;
        let query = self.query(&mut Vec::new())?;
        self.expect(")")?;
        Ok(query)
    }
}
