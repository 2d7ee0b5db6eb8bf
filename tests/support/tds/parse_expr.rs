//! Reads expressions.

use super::ast::{Expr, Name};
use super::error::Fault;
use super::lex::Token;
use super::parse::{Parser, is_reserved};
use super::value::{Type, Value};

/// From the loosest to the tightest.
const LEVELS: [&[&str]; 2] = [&["+", "-", "&", "|", "^"], &["*", "/", "%"]];

impl Parser {
    pub(super) fn expr(&mut self) -> Result<Expr, Fault> {
        let mut left = self.conjunction()?;
        while self.word("OR") {
            left = binary("OR", left, self.conjunction()?);
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expr, Fault> {
        let mut left = self.negation()?;
        while self.word("AND") {
            left = binary("AND", left, self.negation()?);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expr, Fault> {
        match self.word("NOT") {
            true => Ok(Expr::Not(Box::new(self.negation()?))),
            false => self.comparison(),
        }
    }

    fn comparison(&mut self) -> Result<Expr, Fault> {
        let left = self.operation(0)?;
        for symbol in ["=", "<>", "!=", "<=", ">=", "<", ">"] {
            if self.symbol(symbol) {
                return Ok(binary(symbol, left, self.operation(0)?));
            }
        }
        if self.word("IS") {
            let not = self.word("NOT");
            self.need("NULL")?;
            return Ok(negated(not, Expr::IsNull(Box::new(left))));
        }
        let not = self.is_word("NOT") && {
            self.next();
            true
        };
        if self.word("IN") {
            self.need_symbol("(")?;
            let left = Box::new(left);
            let found = if self.is_word("SELECT") {
                Expr::InQuery(left, Box::new(self.query()?))
            } else {
                Expr::In(left, self.list(Self::expr)?)
            };
            self.need_symbol(")")?;
            return Ok(negated(not, found));
        }
        if self.word("LIKE") {
            let pattern = Box::new(self.operation(0)?);
            return Ok(negated(not, Expr::Like(Box::new(left), pattern)));
        }
        if self.word("BETWEEN") {
            let from = binary(">=", left.clone(), self.operation(0)?);
            self.need("AND")?;
            let to = binary("<=", left, self.operation(0)?);
            return Ok(negated(not, binary("AND", from, to)));
        }
        match not {
            true => Err(self.unexpected()),
            false => Ok(left),
        }
    }

    fn operation(&mut self, level: usize) -> Result<Expr, Fault> {
        let Some(symbols) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.operation(level + 1)?;
        while let Some(symbol) = symbols.iter().find(|symbol| self.symbol(symbol)) {
            left = binary(symbol, left, self.operation(level + 1)?);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        if self.symbol("-") {
            return Ok(Expr::Negative(Box::new(self.unary()?)));
        }
        let _plus = self.symbol("+");
        let mut expr = self.primary()?;
        while self.word("COLLATE") {
            let collation = self.name_part()?.to_ascii_uppercase();
            let binary = collation.ends_with("_BIN2") || collation.ends_with("_BIN");
            expr = Expr::Collate(Box::new(expr), binary);
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        let token = self.peek().clone();
        let literal = |value, of| Ok(Expr::Literal(value, of));
        match token {
            Token::Int(int) => {
                self.next();
                let of = if i32::try_from(int).is_ok() { Type::Int } else { Type::BigInt };
                literal(Value::Int(int), of)
            }
            Token::Float(float) => {
                self.next();
                literal(Value::Float(float), Type::Float)
            }
            Token::Text(text) => {
                self.next();
                let length = super::value::units(&text).max(1);
                literal(Value::Text(text), Type::Text(Some(length)))
            }
            Token::Bytes(bytes) => {
                self.next();
                let length = bytes.len().max(1);
                literal(Value::Bytes(bytes), Type::Bytes(Some(length)))
            }
            Token::Symbol("(") => {
                self.next();
                let expr = if self.is_word("SELECT") || self.is_word("WITH") {
                    Expr::Scalar(Box::new(self.query()?))
                } else {
                    self.expr()?
                };
                self.need_symbol(")")?;
                Ok(expr)
            }
            Token::Word(word) if word.starts_with('@') => {
                self.next();
                Ok(Expr::Variable(word.to_ascii_lowercase()))
            }
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "NULL" => {
                    self.next();
                    literal(Value::Null, Type::Int)
                }
                "CASE" => self.case(),
                "EXISTS" => {
                    self.next();
                    self.need_symbol("(")?;
                    let query = Box::new(self.query()?);
                    self.need_symbol(")")?;
                    Ok(Expr::Exists(query))
                }
                "CAST" | "TRY_CAST" | "CONVERT" | "TRY_CONVERT" => self.cast(&word),
                // LEFT and RIGHT are functions as well.
                _ if is_reserved(&word) && *self.peek_second() != Token::Symbol("(") => {
                    Err(self.unexpected())
                }
                _ => self.named(),
            },
            Token::Name(_) => self.named(),
            _ => Err(self.unexpected()),
        }
    }

    fn case(&mut self) -> Result<Expr, Fault> {
        self.next();
        let of = if self.is_word("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut whens = Vec::new();
        while self.word("WHEN") {
            let when = self.expr()?;
            self.need("THEN")?;
            whens.push((when, self.expr()?));
        }
        let otherwise = if self.word("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        self.need("END")?;
        Ok(Expr::Case { of, whens, otherwise })
    }

    fn cast(&mut self, word: &str) -> Result<Expr, Fault> {
        self.next();
        self.need_symbol("(")?;
        let tries = word.len() > "CONVERT".len() || word.eq_ignore_ascii_case("TRY_CAST");
        let (of, to) = if word.to_ascii_uppercase().ends_with("CAST") {
            let of = self.expr()?;
            self.need("AS")?;
            (of, self.type_name()?)
        } else {
            let to = self.type_name()?;
            self.need_symbol(",")?;
            let of = self.expr()?;
            // A style is for dates and money.
            if self.symbol(",") {
                self.expr()?;
            }
            (of, to)
        };
        self.need_symbol(")")?;
        Ok(Expr::Cast { of: Box::new(of), to, tries })
    }

    /// A column, or a function.
    fn named(&mut self) -> Result<Expr, Fault> {
        let mut parts: Name = vec![self.name_part()?];
        while self.symbol(".") {
            if self.symbol("*") {
                return Err(self.unexpected());
            }
            parts.insert(0, self.name_part()?);
        }
        if !self.symbol("(") {
            return Ok(Expr::Column(parts));
        }
        let name = parts[0].to_ascii_uppercase();
        let _distinct = self.word("DISTINCT");
        let arguments = if self.symbol("*") {
            vec![Expr::Star]
        } else if self.is_symbol(")") {
            Vec::new()
        } else {
            self.list(Self::expr)?
        };
        self.need_symbol(")")?;
        Ok(Expr::Call(name, arguments))
    }
}

fn binary(symbol: &'static str, left: Expr, right: Expr) -> Expr {
    let symbol = if symbol == "!=" { "<>" } else { symbol };
    Expr::Binary(symbol, Box::new(left), Box::new(right))
}

fn negated(not: bool, expr: Expr) -> Expr {
    if not { Expr::Not(Box::new(expr)) } else { expr }
}
