//! Reads a batch: what all of it needs.

use super::ast::{Name, Statement};
use super::error::Fault;
use super::lex::{self, Token};
use super::value::Type;

/// Words that no alias is.
const RESERVED: [&str; 71] = [
    "AS",
    "BEGIN",
    "BREAK",
    "BY",
    "CASE",
    "CATCH",
    "COMMIT",
    "CONTINUE",
    "CREATE",
    "CROSS",
    "DECLARE",
    "DELETE",
    "DROP",
    "ELSE",
    "END",
    "EXEC",
    "EXECUTE",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "INNER",
    "INSERT",
    "INTO",
    "JOIN",
    "KILL",
    "LEFT",
    "MERGE",
    "NOT",
    "ON",
    "OPTION",
    "ORDER",
    "OUTER",
    "OUTPUT",
    "PRINT",
    "RAISERROR",
    "RETURN",
    "RIGHT",
    "ROLLBACK",
    "SAVE",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "THROW",
    "TOP",
    "TRAN",
    "TRANSACTION",
    "TRUNCATE",
    "UNION",
    "UPDATE",
    "USE",
    "USING",
    "VALUES",
    "WAITFOR",
    "WHEN",
    "WHERE",
    "WHILE",
    "WITH",
    "AND",
    "OR",
    "IN",
    "IS",
    "LIKE",
    "BETWEEN",
    "COLLATE",
    "EXISTS",
    "NULL",
    "ALTER",
];

/// Where in the batch we are.
#[derive(Debug)]
pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

/// A whole batch.
pub(super) fn batch(sql: &str) -> Result<Vec<Statement>, Fault> {
    let mut parser = Parser { tokens: lex::tokens(sql)?, at: 0 };
    let mut statements = Vec::new();
    while !parser.is_end() {
        if !parser.symbol(";") {
            statements.push(parser.statement()?);
        }
    }
    Ok(statements)
}

impl Parser {
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    pub(super) fn peek_second(&self) -> &Token {
        self.tokens.get(self.at + 1).unwrap_or(&Token::End)
    }

    pub(super) fn place(&self) -> usize {
        self.at
    }

    pub(super) fn go_to(&mut self, place: usize) {
        self.at = place;
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    pub(super) fn is_end(&self) -> bool {
        *self.peek() == Token::End
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(next) if next.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(next) if *next == symbol)
    }

    /// Takes that word, if it is the next one.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let is_next = self.is_word(word);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> bool {
        let is_next = self.is_symbol(symbol);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn need(&mut self, word: &str) -> Result<(), Fault> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn need_symbol(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn unexpected(&self) -> Fault {
        let from = self.at.saturating_sub(3);
        let to = (self.at + 2).min(self.tokens.len());
        Fault::syntax(&format!("near {:?} in {:?}", self.peek(), &self.tokens[from..to]))
    }

    /// Several of these, with commas between them.
    pub(super) fn list<T>(
        &mut self,
        one: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut all = vec![one(self)?];
        while self.symbol(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// The same in brackets.
    pub(super) fn in_brackets<T>(
        &mut self,
        one: impl Fn(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        self.need_symbol("(")?;
        let all = self.list(one)?;
        self.need_symbol(")")?;
        Ok(all)
    }

    /// One part of a name.
    pub(super) fn name_part(&mut self) -> Result<String, Fault> {
        match self.next() {
            Token::Word(name) | Token::Name(name) => Ok(name),
            _ => {
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    /// A name with dots.
    pub(super) fn name(&mut self) -> Result<Name, Fault> {
        let mut parts = vec![self.name_part()?];
        while self.symbol(".") {
            // `db..table`
            let part = if self.is_symbol(".") { String::new() } else { self.name_part()? };
            parts.insert(0, part);
        }
        Ok(parts)
    }

    /// An alias, with or without AS.
    pub(super) fn alias(&mut self) -> Result<Option<String>, Fault> {
        if self.word("AS") {
            if let Token::Text(text) = self.peek().clone() {
                self.next();
                return Ok(Some(text));
            }
            return self.name_part().map(Some);
        }
        match self.peek() {
            Token::Name(_) => self.name_part().map(Some),
            Token::Word(word) if !word.starts_with('@') && !is_reserved(word) => {
                self.name_part().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A type, with its length.
    pub(super) fn type_name(&mut self) -> Result<Type, Fault> {
        let mut name = self.name_part()?.to_ascii_lowercase();
        while self.symbol(".") {
            name = self.name_part()?.to_ascii_lowercase();
        }
        let mut length = Some(1);
        if self.symbol("(") {
            length = match self.next() {
                Token::Int(length) => usize::try_from(length).ok(),
                _ => None,
            };
            // Of decimals.
            if self.symbol(",") {
                self.next();
            }
            self.need_symbol(")")?;
        }
        Ok(match name.as_str() {
            "bit" => Type::Bit,
            "tinyint" => Type::TinyInt,
            "smallint" => Type::SmallInt,
            "int" | "integer" => Type::Int,
            "bigint" => Type::BigInt,
            "float" | "real" | "decimal" | "numeric" => Type::Float,
            "sysname" => Type::Text(Some(128)),
            "nvarchar" | "varchar" | "nchar" | "char" => Type::Text(length),
            "ntext" | "text" => Type::Text(None),
            "varbinary" | "binary" => Type::Bytes(length),
            "uniqueidentifier" => Type::Text(Some(36)),
            "datetime2" | "datetime" | "datetimeoffset" | "date" | "smalldatetime" => Type::Time,
            _ => return Err(Fault::new(243, format!("Type {name} is not a defined system type."))),
        })
    }

    /// `WITH (HOLDLOCK, …)` and `(NOLOCK)`: here a statement has a whole table for itself.
    pub(super) fn hints(&mut self) -> Result<(), Fault> {
        let is_hint = matches!(self.peek_second(), Token::Symbol("("));
        if self.is_word("WITH") && is_hint {
            self.next();
            self.in_brackets(Self::hint)?;
        }
        Ok(())
    }

    fn hint(&mut self) -> Result<(), Fault> {
        self.name_part()?;
        // `INDEX(1)`
        if self.is_symbol("(") {
            self.in_brackets(Self::expr)?;
        }
        // They may follow each other without a comma.
        if matches!(self.peek(), Token::Word(_)) { self.hint() } else { Ok(()) }
    }
}

/// Whether it names nothing unless it is in brackets.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}
