//! Reads expressions.

use super::ast::{Argument, Expr, Target};
use super::fault::Fault;
use super::lex::Token;
use super::package;
use super::parse::Parser;
use super::time;
use super::value::Value;

/// Words that cannot be names of columns or variables, so that an expression ends before them.
const RESERVED: [&str; 24] = [
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "THEN",
    "ELSE",
    "END",
    "INTO",
    "ORDER",
    "GROUP",
    "UNION",
    "WHEN",
    "LOOP",
    "FOR",
    "ON",
    "JOIN",
    "LEFT",
    "INNER",
    "USING",
    "FETCH",
    "RETURNING",
    "SET",
    "VALUES",
    "BETWEEN",
];
const COMPARISONS: [&str; 7] = ["=", "<>", "!=", "<=", ">=", "<", ">"];
const AGGREGATES: [&str; 4] = ["COUNT", "MIN", "MAX", "SUM"];

fn binary(sign: &'static str, left: Expr, right: Expr) -> Expr {
    Expr::Binary(sign, Box::new(left), Box::new(right))
}

impl Parser {
    pub(super) fn expr(&mut self) -> Result<Expr, Fault> {
        let mut left = self.conjunction()?;
        while self.takes("OR") {
            left = binary("OR", left, self.conjunction()?);
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Expr, Fault> {
        let mut left = self.negation()?;
        while self.takes("AND") {
            left = binary("AND", left, self.negation()?);
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expr, Fault> {
        if self.takes("NOT") {
            return Ok(Expr::Not(Box::new(self.negation()?)));
        }
        let left = self.sum()?;
        if self.takes("IS") {
            let not = self.takes("NOT");
            self.expect("NULL")?;
            return Ok(negated(not, Expr::IsNull(Box::new(left))));
        }
        let not = self.takes("NOT");
        if self.takes("IN") {
            if self.is("(") && (self.is_ahead(1, "SELECT") || self.is_ahead(1, "WITH")) {
                let query = self.query_between_brackets()?;
                return Ok(negated(not, Expr::InQuery(Box::new(left), Box::new(query))));
            }
            let all = self.list(Parser::expr)?;
            return Ok(negated(not, Expr::In(Box::new(left), all)));
        }
        if self.takes("BETWEEN") {
            let from = self.sum()?;
            self.expect("AND")?;
            let to = self.sum()?;
            let both = binary("AND", binary(">=", left.clone(), from), binary("<=", left, to));
            return Ok(negated(not, both));
        }
        if self.takes("LIKE") {
            let pattern = self.sum()?;
            return Ok(negated(not, binary("LIKE", left, pattern)));
        }
        if not {
            return Err(self.wrong());
        }
        match COMPARISONS.into_iter().find(|sign| self.takes(sign)) {
            Some(sign) => Ok(binary(if sign == "!=" { "<>" } else { sign }, left, self.sum()?)),
            None => Ok(left),
        }
    }

    fn sum(&mut self) -> Result<Expr, Fault> {
        let mut left = self.product()?;
        while let Some(sign) = ["+", "-", "||"].into_iter().find(|sign| self.takes(sign)) {
            left = binary(sign, left, self.product()?);
        }
        Ok(left)
    }

    fn product(&mut self) -> Result<Expr, Fault> {
        let mut left = self.unary()?;
        loop {
            let Some(sign) = ["*", "/", "MOD"].into_iter().find(|sign| self.takes(sign)) else {
                return Ok(left);
            };
            left = binary(sign, left, self.unary()?);
        }
    }

    fn unary(&mut self) -> Result<Expr, Fault> {
        if self.takes("-") {
            return Ok(Expr::Negative(Box::new(self.unary()?)));
        }
        self.takes("+");
        let mut expr = self.primary()?;
        while self.takes("AT TIME ZONE") {
            expr = Expr::AtZone(Box::new(expr), Box::new(self.primary()?));
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Result<Expr, Fault> {
        Ok(match self.next() {
            Token::Int(int) => Expr::Literal(Value::Int(int)),
            Token::Float(float) => Expr::Literal(Value::Float(float)),
            Token::Text(text) => Expr::Literal(Value::text(text)),
            Token::Bind(name) => {
                let bind = self.bind(name);
                self.binds[bind].is_read = true;
                Expr::Bind(bind)
            }
            Token::Symbol("(") => {
                let expr = if self.is("SELECT") || self.is("WITH") {
                    Expr::Scalar(Box::new(self.query(&mut Vec::new())?))
                } else {
                    self.expr()?
                };
                self.expect(")")?;
                // `(a - b) DAY TO SECOND`
                let _ = self.takes("DAY TO SECOND");
                expr
            }
            Token::Word(word) => self.word(word)?,
            Token::Name(name) => self.named(name)?,
            _ => {
                self.back();
                return Err(self.wrong());
            }
        })
    }

    fn word(&mut self, word: String) -> Result<Expr, Fault> {
        let literal = |value| Ok(Expr::Literal(value));
        match (word.as_str(), self.peek().clone()) {
            ("NULL", _) => literal(Value::Null),
            ("TRUE", _) => literal(Value::Bool(true)),
            ("FALSE", _) => literal(Value::Bool(false)),
            ("TIMESTAMP" | "DATE", Token::Text(text)) => {
                self.next();
                let time = time::parse(&text)?;
                literal(if word == "DATE" {
                    time.into_type(super::value::Type::Date)?
                } else {
                    time
                })
            }
            ("INTERVAL", Token::Text(text)) => {
                self.next();
                self.interval(&text)
            }
            ("CASE", _) => self.case(),
            ("CAST", Token::Symbol("(")) => {
                self.next();
                let of = self.expr()?;
                self.expect("AS")?;
                let to = self.type_of()?.0;
                self.expect(")")?;
                Ok(Expr::Cast(Box::new(of), to))
            }
            ("EXTRACT", Token::Symbol("(")) => {
                self.next();
                let field = self.name()?;
                self.expect("FROM")?;
                let of = self.expr()?;
                self.expect(")")?;
                Ok(Expr::Extract(field, Box::new(of)))
            }
            ("EXISTS", _) => Ok(Expr::Exists(Box::new(self.query_between_brackets()?))),
            ("SQL", Token::Symbol("%")) => {
                self.next();
                let name = self.name()?;
                Ok(Expr::Name(vec![format!("SQL%{name}")]))
            }
            (_, Token::Symbol("(")) if AGGREGATES.contains(&word.as_str()) => {
                self.next();
                let of = if self.takes("*") { None } else { Some(Box::new(self.expr()?)) };
                self.expect(")")?;
                let name = AGGREGATES.into_iter().find(|name| *name == word).unwrap_or_default();
                Ok(Expr::Aggregate(name, of))
            }
            _ if RESERVED.contains(&word.as_str()) => {
                self.back();
                Err(self.wrong())
            }
            _ => self.named(word),
        }
    }

    /// A name, or a call of what has it.
    fn named(&mut self, first: String) -> Result<Expr, Fault> {
        let mut path = vec![first];
        while self.takes(".") {
            path.push(self.name()?);
        }
        if !self.is("(") {
            return Ok(Expr::Name(path));
        }
        // Whose package it is does not matter.
        if path.len() == 3 {
            path.remove(0);
        }
        self.next();
        let written = match self.routines.get(path.last().map_or("", String::as_str)) {
            Some(written) if path.len() == 1 => written.clone(),
            _ => package::written(&path).to_vec(),
        };
        let mut arguments = Vec::new();
        while !self.takes(")") {
            let name = match self.ahead(1) {
                Token::Symbol("=>") => Some(self.name()?),
                _ => None,
            };
            self.takes("=>");
            let place = arguments.len();
            let is_written = match &name {
                Some(name) => package::is_written(&path, name),
                None => written.get(place).copied().unwrap_or(false),
            };
            let value = match (is_written, self.peek().clone()) {
                (true, Token::Bind(_)) => match self.target()? {
                    Target::Bind(bind) => Expr::Bind(bind),
                    Target::Name(path) => Expr::Name(path),
                },
                _ => self.expr()?,
            };
            arguments.push(Argument { name, value });
            if !self.takes(",") && !self.is(")") {
                return Err(self.wrong());
            }
        }
        Ok(Expr::Call(path, arguments))
    }

    /// What is assigned to.
    pub(super) fn target(&mut self) -> Result<Target, Fault> {
        if let Token::Bind(name) = self.peek().clone() {
            self.next();
            let bind = self.bind(name);
            self.binds[bind].is_written = true;
            return Ok(Target::Bind(bind));
        }
        Ok(Target::Name(self.path()?))
    }

    fn case(&mut self) -> Result<Expr, Fault> {
        let operand = if self.is("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut whens = Vec::new();
        while self.takes("WHEN") {
            let when = self.expr()?;
            self.expect("THEN")?;
            whens.push((when, self.expr()?));
        }
        let otherwise = if self.takes("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        self.expect("END")?;
        Ok(Expr::Case { operand, whens, otherwise })
    }

    /// `'5' SECOND`, `'0 00:00:01.5' DAY TO SECOND`
    fn interval(&mut self, text: &str) -> Result<Expr, Fault> {
        let unit = self.name()?;
        if self.takes("(") {
            while !self.takes(")") {
                self.next();
            }
        }
        let factor = match unit.as_str() {
            "DAY" => 86_400.0,
            "HOUR" => 3600.0,
            "MINUTE" => 60.0,
            _ => 1.0,
        };
        let seconds = if self.takes("TO SECOND") {
            let (days, clock) = text.trim().split_once(' ').unwrap_or((text, "0"));
            let clock = clock
                .split(':')
                .try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?));
            days.parse::<f64>().ok().zip(clock).map(|(days, clock)| days * 86_400.0 + clock)
        } else {
            text.trim().parse::<f64>().ok().map(|number| number * factor)
        };
        let seconds = seconds.ok_or_else(|| Fault::new(1867, "the interval is invalid"))?;
        Ok(Expr::Literal(Value::Interval((seconds * 1e6).round() as i64)))
    }
}

fn negated(not: bool, expr: Expr) -> Expr {
    if not { Expr::Not(Box::new(expr)) } else { expr }
}
