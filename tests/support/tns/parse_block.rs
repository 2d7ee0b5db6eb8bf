//! Reads blocks of PL/SQL.

use super::ast::{Block, Command, Declaration, Expr, Parameter, Routine};
use super::fault::Fault;
use super::lex::Token;
use super::parse::Parser;
use super::value::{Type, Value};

const SQL: [&str; 9] =
    ["INSERT", "UPDATE", "DELETE", "MERGE", "COMMIT", "ROLLBACK", "SAVEPOINT", "LOCK", "SET"];

impl Parser {
    /// From `DECLARE` or `BEGIN` to its `END`.
    pub(super) fn block(&mut self) -> Result<Block, Fault> {
        let mut block = Block::default();
        if self.takes("DECLARE") {
            self.declarations(&mut block)?;
        }
        self.body(&mut block)?;
        Ok(block)
    }

    fn body(&mut self, block: &mut Block) -> Result<(), Fault> {
        self.expect("BEGIN")?;
        block.body = self.commands(&["EXCEPTION", "END"])?;
        if self.takes("EXCEPTION") {
            while self.takes("WHEN") {
                let mut names = vec![self.name()?];
                while self.takes("OR") {
                    names.push(self.name()?);
                }
                self.expect("THEN")?;
                let what = self.commands(&["WHEN", "END"])?;
                block.handlers.push((names, what));
            }
        }
        self.expect("END")?;
        if matches!(self.peek(), Token::Word(_)) {
            self.next();
        }
        Ok(())
    }

    fn declarations(&mut self, block: &mut Block) -> Result<(), Fault> {
        while !self.is("BEGIN") {
            let declaration = if self.takes("PRAGMA AUTONOMOUS_TRANSACTION") {
                block.is_autonomous = true;
                self.expect(";")?;
                continue;
            } else if self.takes("PRAGMA EXCEPTION_INIT") {
                self.expect("(")?;
                let name = self.name()?;
                self.expect(",")?;
                let Expr::Negative(number) = self.expr()? else { return Err(self.wrong()) };
                let Expr::Literal(Value::Int(number)) = *number else { return Err(self.wrong()) };
                self.expect(")")?;
                Declaration::Number(name, number)
            } else if self.is("PROCEDURE") || self.is("FUNCTION") {
                Declaration::Routine(self.routine()?.into())
            } else if matches!(block.declarations.last(), Some(Declaration::Routine(_))) {
                // After a routine's body there are only routines.
                return Err(self.wrong());
            } else {
                let name = self.name()?;
                if self.takes("EXCEPTION") {
                    Declaration::Exception(name)
                } else {
                    self.takes("CONSTANT");
                    let of = self.type_of()?.0;
                    self.takes("NOT NULL");
                    let has_value = self.takes(":=") || self.takes("DEFAULT");
                    let value = if has_value { Some(self.expr()?) } else { None };
                    Declaration::Variable(name, of, value)
                }
            };
            block.declarations.push(declaration);
            // A routine's body has ended with its own.
            self.takes(";");
        }
        Ok(())
    }

    fn routine(&mut self) -> Result<Routine, Fault> {
        self.next();
        let name = self.name()?;
        let parameters = if self.is("(") { self.list(Parser::parameter)? } else { Vec::new() };
        if self.takes("RETURN") {
            self.type_of()?;
        }
        if !self.takes("IS") {
            self.expect("AS")?;
        }
        let written = parameters.iter().map(|parameter| parameter.is_out).collect();
        self.routines.insert(name.clone(), written);
        let mut block = Block::default();
        self.declarations(&mut block)?;
        self.body(&mut block)?;
        Ok(Routine { name, parameters, block })
    }

    fn parameter(&mut self) -> Result<Parameter, Fault> {
        let name = self.name()?;
        self.takes("IN");
        let is_out = self.takes("OUT");
        self.takes("NOCOPY");
        let of = match self.type_of()?.0 {
            // A parameter has no length.
            Type::Text(_) => Type::Text(32_767),
            Type::Bytes(_) => Type::Bytes(32_767),
            of => of,
        };
        let has_default = self.takes(":=") || self.takes("DEFAULT");
        let default = if has_default { Some(self.expr()?) } else { None };
        Ok(Parameter { name, is_out, of, default })
    }

    /// Commands, up to one of these words.
    fn commands(&mut self, end: &[&str]) -> Result<Vec<Command>, Fault> {
        let mut commands = Vec::new();
        while !end.iter().any(|word| self.is(word)) {
            if self.takes("<<") {
                self.name()?;
                self.expect(">>")?;
                continue;
            }
            commands.push(self.command()?);
            self.expect(";")?;
        }
        Ok(commands)
    }

    fn condition(&mut self) -> Result<Option<Expr>, Fault> {
        if matches!(self.peek(), Token::Word(word) if word != "WHEN") {
            return Err(self.wrong());
        }
        if self.takes("WHEN") { self.expr().map(Some) } else { Ok(None) }
    }

    fn looped(&mut self) -> Result<Vec<Command>, Fault> {
        self.expect("LOOP")?;
        let body = self.commands(&["END"])?;
        self.expect("END LOOP")?;
        if matches!(self.peek(), Token::Word(_)) {
            self.next();
        }
        Ok(body)
    }

    fn command(&mut self) -> Result<Command, Fault> {
        if let Token::Word(word) = self.peek()
            && SQL.contains(&word.as_str())
            && !self.is_ahead(1, ":=")
        {
            return Ok(Command::Sql(Box::new(self.statement()?)));
        }
        if self.is("SELECT") {
            let mut into = Vec::new();
            let query = self.query(&mut into)?;
            return Ok(Command::SelectInto(query, into));
        }
        if self.is("BEGIN") || self.is("DECLARE") {
            return Ok(Command::Block(self.block()?));
        }
        if self.takes("NULL") {
            return Ok(Command::Null);
        }
        if self.takes("IF") {
            return self.choice();
        }
        if self.takes("CASE") {
            return self.case_command();
        }
        if self.is("LOOP") {
            return Ok(Command::Loop(self.looped()?));
        }
        if self.takes("WHILE") {
            let condition = self.expr()?;
            return Ok(Command::While(condition, self.looped()?));
        }
        if self.takes("FOR") {
            return self.for_loop();
        }
        if self.takes("EXIT") {
            return Ok(Command::Exit(self.condition()?));
        }
        if self.takes("CONTINUE") {
            return Ok(Command::Continue(self.condition()?));
        }
        if self.takes("RETURN") {
            return Ok(Command::Return(if self.is(";") { None } else { Some(self.expr()?) }));
        }
        if self.takes("RAISE") {
            return Ok(Command::Raise(if self.is(";") { None } else { Some(self.name()?) }));
        }
        if self.takes("EXECUTE IMMEDIATE") {
            let sql = self.expr()?;
            let into = if self.takes("INTO") { self.commas(Parser::target)? } else { Vec::new() };
            let using = if self.takes("USING") {
                self.commas(|parser| {
                    parser.takes("IN");
                    parser.expr()
                })?
            } else {
                Vec::new()
            };
            return Ok(Command::Immediate { sql, into, using });
        }
        self.assignment_or_call()
    }

    fn assignment_or_call(&mut self) -> Result<Command, Fault> {
        // A target ends before `:=`; a call has brackets or none.
        let mut ahead = 1;
        while self.is_ahead(ahead, ".") {
            ahead += 2;
        }
        if self.is_ahead(ahead, ":=") {
            let target = self.target()?;
            self.expect(":=")?;
            return Ok(Command::Assign(target, self.expr()?));
        }
        match self.expr()? {
            Expr::Name(path) => Ok(Command::Call(Expr::Call(path, Vec::new()))),
            call @ Expr::Call(..) => Ok(Command::Call(call)),
            _ => Err(self.wrong()),
        }
    }

    fn choice(&mut self) -> Result<Command, Fault> {
        let mut branches = Vec::new();
        loop {
            let condition = self.expr()?;
            self.expect("THEN")?;
            branches.push((condition, self.commands(&["ELSIF", "ELSE", "END"])?));
            if !self.takes("ELSIF") {
                break;
            }
        }
        let otherwise = if self.takes("ELSE") { self.commands(&["END"])? } else { Vec::new() };
        self.expect("END IF")?;
        Ok(Command::If(branches, otherwise))
    }

    fn case_command(&mut self) -> Result<Command, Fault> {
        let operand = if self.is("WHEN") { None } else { Some(self.expr()?) };
        let mut branches = Vec::new();
        while self.takes("WHEN") {
            let mut when = self.expr()?;
            if let Some(operand) = &operand {
                when = Expr::Binary("=", Box::new(operand.clone()), Box::new(when));
            }
            self.expect("THEN")?;
            branches.push((when, self.commands(&["WHEN", "ELSE", "END"])?));
        }
        let otherwise = match self.takes("ELSE") {
            true => self.commands(&["END"])?,
            false => vec![Command::Raise(Some("CASE_NOT_FOUND".into()))],
        };
        self.expect("END CASE")?;
        Ok(Command::If(branches, otherwise))
    }

    fn for_loop(&mut self) -> Result<Command, Fault> {
        let name = self.name()?;
        self.expect("IN")?;
        if self.is("(") && self.is_ahead(1, "SELECT") {
            let query = self.query_between_brackets()?;
            return Ok(Command::ForRows(name, query, self.looped()?));
        }
        let backwards = self.takes("REVERSE");
        let from = self.expr()?;
        self.expect("..")?;
        let to = self.expr()?;
        Ok(Command::For(name, from, to, backwards, self.looped()?))
    }
}
