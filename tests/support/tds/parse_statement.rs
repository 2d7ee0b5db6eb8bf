//! Reads statements.

use super::ast::{Expr, Name, Statement};
use super::error::Fault;
use super::lex::Token;
use super::parse::Parser;
use super::value::{Type, Value};

impl Parser {
    pub(super) fn statement(&mut self) -> Result<Statement, Fault> {
        let Token::Word(word) = self.peek().clone() else { return Err(self.unexpected()) };
        let word = word.to_ascii_uppercase();
        if word == "SELECT" {
            return self.query().map(Statement::Query);
        }
        if word == "WITH" {
            return self.with_statement();
        }
        self.next();
        Ok(match word.as_str() {
            "DECLARE" => self.declare()?,
            "SET" => self.set()?,
            "EXEC" | "EXECUTE" => self.execute()?,
            "INSERT" => self.insert()?,
            "UPDATE" => self.update(Vec::new())?,
            "DELETE" => self.delete()?,
            "MERGE" => self.merge()?,
            "CREATE" => self.create()?,
            "DROP" => self.drop_what()?,
            "TRUNCATE" => {
                self.need("TABLE")?;
                let table = self.name()?;
                Statement::Delete { table, top: None, output: None, from: None, filter: None }
            }
            "ALTER" => self.skip(),
            "USE" => Statement::Use(self.name_part()?),
            "BEGIN" => self.begin()?,
            "COMMIT" => {
                self.transaction_name()?;
                Statement::Commit
            }
            "ROLLBACK" => Statement::Rollback(self.transaction_name()?),
            "SAVE" => Statement::Save(self.transaction_name()?.ok_or_else(|| self.unexpected())?),
            "KILL" => Statement::Kill(self.expr()?),
            "WAITFOR" => {
                self.need("DELAY")?;
                Statement::Wait(self.expr()?)
            }
            "IF" => {
                let condition = self.expr()?;
                let then = Box::new(self.one()?);
                let otherwise = if self.word("ELSE") { Some(Box::new(self.one()?)) } else { None };
                Statement::If(condition, then, otherwise)
            }
            "WHILE" => Statement::While(self.expr()?, Box::new(self.one()?)),
            "THROW" => Statement::Throw(self.thrown()?),
            "RAISERROR" => {
                let arguments = self.in_brackets(Self::expr)?;
                let message = arguments.into_iter().next().ok_or_else(|| self.unexpected())?;
                let number = Expr::Literal(Value::Int(50_000), Type::Int);
                Statement::Throw(Some((number, message)))
            }
            "PRINT" => {
                self.expr()?;
                Statement::Print
            }
            "RETURN" => {
                let is_empty = self.is_symbol(";") || self.is_end() || self.is_word("END");
                Statement::Return(if is_empty { None } else { Some(self.expr()?) })
            }
            "BREAK" => Statement::Break,
            "CONTINUE" => Statement::Continue,
            _ => return Err(self.unexpected_back()),
        })
    }

    /// A statement, with what ends it: so that ELSE follows.
    fn one(&mut self) -> Result<Statement, Fault> {
        let statement = self.statement()?;
        self.symbol(";");
        Ok(statement)
    }

    fn with_statement(&mut self) -> Result<Statement, Fault> {
        let with = self.with()?;
        if self.word("UPDATE") {
            return self.update(with);
        }
        let mut query = self.query()?;
        query.with = with;
        Ok(Statement::Query(query))
    }

    fn declare(&mut self) -> Result<Statement, Fault> {
        let Token::Word(name) = self.peek().clone() else { return Err(self.unexpected()) };
        if matches!(self.peek_second(), Token::Word(word) if word.eq_ignore_ascii_case("TABLE")) {
            self.next();
            self.next();
            return Ok(Statement::DeclareTable(name.to_ascii_lowercase(), self.table_def()?));
        }
        self.list(|parser| {
            let name = parser.name_part()?.to_ascii_lowercase();
            let _ = parser.word("AS");
            let of = parser.type_name()?;
            let value = if parser.symbol("=") { Some(parser.expr()?) } else { None };
            Ok((name, of, value))
        })
        .map(Statement::Declare)
    }

    fn set(&mut self) -> Result<Statement, Fault> {
        let name = self.name_part()?;
        if !name.starts_with('@') {
            // Others are taken as they come: `SET TRANSACTION ISOLATION LEVEL READ COMMITTED`.
            let has_value =
                ["LOCK_TIMEOUT", "CONTEXT_INFO"].iter().any(|with| name.eq_ignore_ascii_case(with));
            let option = match () {
                () if has_value => Some(self.expr()?),
                () if self.word("ON") => Some(Expr::Literal(Value::Int(1), Type::Bit)),
                () => None,
            };
            if let Statement::Nothing = self.skip() {}
            return Ok(Statement::Option(name.to_ascii_uppercase(), option));
        }
        let name = name.to_ascii_lowercase();
        for (symbol, operation) in [("+=", "+"), ("-=", "-")] {
            if self.symbol(symbol) {
                let old = Box::new(Expr::Variable(name.clone()));
                let sum = Expr::Binary(operation, old, Box::new(self.expr()?));
                return Ok(Statement::Set(name, sum));
            }
        }
        self.need_symbol("=")?;
        Ok(Statement::Set(name, self.expr()?))
    }

    fn execute(&mut self) -> Result<Statement, Fault> {
        if self.is_symbol("(") {
            let arguments =
                self.in_brackets(Self::expr)?.into_iter().map(|sql| (None, sql)).collect();
            let procedure = vec!["sp_executesql".to_owned()];
            return Ok(Statement::Execute { result: None, procedure, arguments });
        }
        let mut result = None;
        if matches!(self.peek_second(), Token::Symbol("=")) {
            result = Some(self.name_part()?.to_ascii_lowercase());
            self.next();
        }
        let procedure: Name = self.name()?;
        let mut arguments = Vec::new();
        loop {
            let starts = match self.peek() {
                Token::Word(word) => word.starts_with('@') || word.eq_ignore_ascii_case("NULL"),
                Token::Symbol(symbol) => *symbol == "-",
                Token::Text(_) | Token::Int(_) | Token::Bytes(_) | Token::Float(_) => true,
                _ => false,
            };
            if !starts {
                break;
            }
            let mut name = None;
            if matches!(self.peek_second(), Token::Symbol("=")) {
                name = Some(self.name_part()?.to_ascii_lowercase());
                self.next();
            }
            // A bare word is text.
            let value = match self.peek().clone() {
                Token::Word(word)
                    if !word.starts_with('@') && !word.eq_ignore_ascii_case("NULL") =>
                {
                    self.next();
                    Expr::Literal(Value::Text(word), Type::Text(None))
                }
                _ => self.expr()?,
            };
            let _ = self.word("OUTPUT") || self.word("OUT");
            arguments.push((name, value));
            if !self.symbol(",") {
                break;
            }
        }
        Ok(Statement::Execute { result, procedure, arguments })
    }

    fn begin(&mut self) -> Result<Statement, Fault> {
        if self.word("TRY") {
            let body = self.until_end("TRY")?;
            self.need("BEGIN")?;
            self.need("CATCH")?;
            return Ok(Statement::Try(body, self.until_end("CATCH")?));
        }
        if self.is_word("TRAN") || self.is_word("TRANSACTION") {
            return Ok(Statement::Begin(self.transaction_name()?));
        }
        self.until_end("").map(Statement::Block)
    }

    fn until_end(&mut self, what: &str) -> Result<Vec<Statement>, Fault> {
        let mut statements = Vec::new();
        while !self.word("END") {
            if !self.symbol(";") {
                statements.push(self.statement()?);
            }
        }
        if !what.is_empty() {
            self.need(what)?;
        }
        self.symbol(";");
        Ok(statements)
    }

    /// `TRAN[SACTION] [name]`
    fn transaction_name(&mut self) -> Result<Option<String>, Fault> {
        if !self.word("TRAN") && !self.word("TRANSACTION") && !self.word("WORK") {
            return Ok(None);
        }
        self.alias()
    }

    fn create(&mut self) -> Result<Statement, Fault> {
        if self.word("TABLE") {
            let name = self.name()?;
            return Ok(Statement::CreateTable(name, self.table_def()?));
        }
        if self.word("DATABASE") {
            let name = self.name_part()?;
            self.skip();
            return Ok(Statement::CreateDatabase(name));
        }
        Ok(self.skip())
    }

    fn drop_what(&mut self) -> Result<Statement, Fault> {
        let (is_table, is_database) = (self.word("TABLE"), self.word("DATABASE"));
        if !is_table && !is_database {
            return Ok(self.skip());
        }
        let if_exists = self.word("IF");
        if if_exists {
            self.need("EXISTS")?;
        }
        let name = self.name()?;
        Ok(match is_table {
            true => Statement::DropTable(name, if_exists),
            false => Statement::DropDatabase(name[0].clone(), if_exists),
        })
    }

    fn thrown(&mut self) -> Result<Option<(Expr, Expr)>, Fault> {
        if self.is_symbol(";") || self.is_end() || self.is_word("END") {
            return Ok(None);
        }
        let arguments = self.list(Self::expr)?;
        let [number, message, _state] = &arguments[..] else { return Err(self.unexpected()) };
        Ok(Some((number.clone(), message.clone())))
    }

    /// Passes over the rest of a statement.
    fn skip(&mut self) -> Statement {
        while !self.is_symbol(";") && !self.is_end() && !self.is_statement() {
            self.next();
        }
        Statement::Nothing
    }

    fn is_statement(&self) -> bool {
        let words = [
            "SELECT", "EXEC", "DECLARE", "SET", "IF", "BEGIN", "END", "INSERT", "UPDATE", "MERGE",
            "ELSE", "COMMIT",
        ];
        words.iter().any(|word| self.is_word(word))
    }

    /// Whether `alias.*` is next.
    pub(super) fn is_star_of(&mut self) -> bool {
        let here = self.place();
        self.next();
        self.next();
        let is_star = self.is_symbol("*");
        self.go_to(here);
        is_star
    }

    fn unexpected_back(&mut self) -> Fault {
        self.go_to(self.place() - 1);
        self.unexpected()
    }
}
