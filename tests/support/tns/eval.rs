//! What expressions are.

use std::sync::Arc;

use super::ast::{Argument, Expr, Query};
use super::fault::Fault;
use super::functions;
use super::runner::Runner;
use super::table::Cells;
use super::time;
use super::value::{Type, Value};

/// A row that an expression is about.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) alias: String,
    pub(super) names: Arc<[String]>,
    pub(super) cells: Cells,
}

impl Runner {
    pub(super) fn eval(&mut self, expr: &Expr) -> Result<Value, Fault> {
        Ok(match expr {
            Expr::Literal(value) => value.clone(),
            Expr::Bind(bind) => self.binds.get(*bind).cloned().unwrap_or(Value::Null),
            Expr::Name(path) => self.named(path)?,
            Expr::Call(path, arguments) => self.call(path, arguments)?.unwrap_or(Value::Null),
            Expr::Negative(of) => match self.eval(of)? {
                Value::Null => Value::Null,
                Value::Interval(micros) => Value::Interval(-micros),
                Value::Int(int) => Value::Int(-int),
                other => Value::float(-other.number()?.unwrap_or(0.0)),
            },
            Expr::Not(of) => match self.truth(of)? {
                Some(truth) => Value::Bool(!truth),
                None => Value::Null,
            },
            Expr::Binary(sign @ ("AND" | "OR"), left, right) => {
                let ends = *sign == "OR";
                let left = self.truth(left)?;
                if left == Some(ends) {
                    return Ok(Value::Bool(ends));
                }
                match (left, self.truth(right)?) {
                    (_, Some(right)) if right == ends => Value::Bool(ends),
                    (Some(_), Some(_)) => Value::Bool(!ends),
                    _ => Value::Null,
                }
            }
            Expr::Binary(sign, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                binary(sign, left, right)?
            }
            Expr::IsNull(of) => Value::Bool(self.eval(of)?.is_null()),
            Expr::In(of, all) => {
                let of = self.eval(of)?;
                let all = all.iter().map(|one| self.eval(one)).collect::<Result<Vec<_>, _>>()?;
                is_in(&of, all)?
            }
            Expr::InQuery(of, query) => {
                let of = self.eval(of)?;
                let rows = self.query(query)?.rows;
                is_in(&of, rows.into_iter().filter_map(|row| row.into_iter().next()).collect())?
            }
            Expr::Case { operand, whens, otherwise } => {
                let operand = operand.as_ref().map(|operand| self.eval(operand)).transpose()?;
                for (when, then) in whens {
                    let fits = match &operand {
                        Some(operand) => {
                            operand.compare(&self.eval(when)?)?.map(|order| order.is_eq())
                        }
                        None => self.truth(when)?,
                    };
                    if fits == Some(true) {
                        return self.eval(then);
                    }
                }
                otherwise.as_ref().map_or(Ok(Value::Null), |otherwise| self.eval(otherwise))?
            }
            Expr::Cast(of, to) => self.eval(of)?.into_type(*to)?,
            Expr::Extract(field, of) => extract(field, &self.eval(of)?)?,
            Expr::AtZone(of, zone) => {
                let zone = self.eval(zone)?.into_text()?.and_then(|zone| time::zone(&zone));
                let zone = zone.ok_or_else(|| Fault::new(1882, "timezone region not found"))?;
                match self.eval(of)?.into_type(Type::Zoned)? {
                    Value::Zoned(micros, _) => Value::Zoned(micros, zone),
                    other => other,
                }
            }
            Expr::Exists(query) => Value::Bool(!self.query(query)?.rows.is_empty()),
            Expr::Scalar(query) => self.scalar(query)?,
            Expr::Aggregate(name, of) => self.aggregate(name, of.as_deref())?,
        })
    }

    /// Whether it is true; NULL is neither.
    pub(super) fn truth(&mut self, expr: &Expr) -> Result<Option<bool>, Fault> {
        match self.eval(expr)? {
            Value::Bool(truth) => Ok(Some(truth)),
            Value::Null => Ok(None),
            _ => Err(Fault::new(920, "invalid relational operator")),
        }
    }

    pub(super) fn is_true(&mut self, expr: Option<&Expr>) -> Result<bool, Fault> {
        expr.map_or(Ok(true), |expr| Ok(self.truth(expr)? == Some(true)))
    }

    fn scalar(&mut self, query: &Query) -> Result<Value, Fault> {
        let mut rows = self.query(query)?.rows;
        if rows.len() > 1 {
            return Err(Fault::numbered(1427));
        }
        let row = rows.pop().unwrap_or_default();
        Ok(row.into_iter().next().unwrap_or(Value::Null))
    }

    /// Over the rows of the group that is looked at.
    fn aggregate(&mut self, name: &str, of: Option<&Expr>) -> Result<Value, Fault> {
        let group = self
            .group
            .clone()
            .ok_or_else(|| Fault::new(934, "group function is not allowed here"))?;
        let mut values = Vec::new();
        for rows in group.iter() {
            let before = self.rows.len();
            self.rows.extend(rows.iter().cloned());
            let value = of.map_or(Ok(Value::Int(1)), |of| self.eval(of));
            self.rows.truncate(before);
            values.push(value?);
        }
        values.retain(|value| !value.is_null());
        if name == "COUNT" {
            return Ok(Value::Int(values.len() as i64));
        }
        let mut result = Value::Null;
        for value in values {
            result = match (name, result.compare(&value)?) {
                (_, None) => value,
                ("SUM", _) => binary("+", result, value)?,
                ("MIN", Some(order)) if order.is_gt() => value,
                ("MAX", Some(order)) if order.is_lt() => value,
                _ => result,
            };
        }
        Ok(result)
    }

    /// A column, a variable, or a function without arguments.
    fn named(&mut self, path: &[String]) -> Result<Value, Fault> {
        if let Some(value) = self.column(path) {
            return Ok(value);
        }
        if let Some(value) = self.variable(path)? {
            return Ok(value);
        }
        if path == ["ROWNUM"] {
            return Ok(Value::Int(self.row_number));
        }
        if path == ["SQL%ROWCOUNT"] {
            return Ok(Value::Int(self.row_count));
        }
        if path == ["SQL%FOUND"] || path == ["SQL%NOTFOUND"] {
            return Ok(Value::Bool((self.row_count > 0) == (path[0] == "SQL%FOUND")));
        }
        self.call(path, &[])?.ok_or_else(|| Fault::unknown(&path.join(".")))
    }

    fn column(&self, path: &[String]) -> Option<Value> {
        let (name, alias) = match path {
            [name] => (name, None),
            [alias, name] => (name, Some(alias)),
            _ => return None,
        };
        let bound =
            self.rows.iter().rev().filter(|bound| alias.is_none_or(|alias| bound.alias == *alias));
        let mut found = bound.filter_map(|bound| {
            let place = bound.names.iter().position(|column| column == name)?;
            bound.cells.get(place).cloned()
        });
        found.next()
    }

    /// Calls a routine of the block, of a package, or a function of SQL's. A procedure has no value.
    pub(super) fn call(
        &mut self,
        path: &[String],
        arguments: &[Argument],
    ) -> Result<Option<Value>, Fault> {
        if let [name] = path
            && let Some(routine) = self.routine(name)
        {
            return self.run_routine(&routine, arguments);
        }
        if let Some(value) = self.call_package(path, arguments)? {
            return Ok(Some(value));
        }
        let name = path.last().map_or("", String::as_str);
        let now = self.statement_time.unwrap_or_else(time::now);
        match name {
            "SYSTIMESTAMP" | "CURRENT_TIMESTAMP" => return Ok(Some(Value::Zoned(now, 0))),
            "LOCALTIMESTAMP" => return Ok(Some(Value::Time(now))),
            "SYSDATE" | "CURRENT_DATE" => return Ok(Some(Value::Date(now / 1_000_000))),
            "USER" => return Ok(Some(Value::text(self.user.clone()))),
            "SQLCODE" => return Ok(Some(Value::Int(self.errors.last().map_or(0, Fault::code)))),
            "SQLERRM" => {
                let text = self.errors.last().map(Fault::text);
                return Ok(Some(Value::text(
                    text.unwrap_or_else(|| "ORA-0000: normal, successful completion".into()),
                )));
            }
            _ => {}
        }
        let values = arguments.iter().map(|argument| self.eval(&argument.value));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        match functions::call(name, &values) {
            Some(value) => value.map(Some),
            None if self.is_block => Err(Fault::undeclared(&path.join("."))),
            None => Err(Fault::unknown(&path.join("."))),
        }
    }
}

fn is_in(of: &Value, all: Vec<Value>) -> Result<Value, Fault> {
    let mut unsure = of.is_null();
    for one in all {
        match of.compare(&one)? {
            Some(order) if order.is_eq() => return Ok(Value::Bool(true)),
            Some(_) => {}
            None => unsure = true,
        }
    }
    Ok(if unsure { Value::Null } else { Value::Bool(false) })
}

const DAY: i64 = 86_400_000_000;

pub(super) fn binary(sign: &str, left: Value, right: Value) -> Result<Value, Fault> {
    if sign == "||" {
        let (left, right) =
            (left.into_text()?.unwrap_or_default(), right.into_text()?.unwrap_or_default());
        return Ok(Value::text(left + &right));
    }
    if left.is_null() || right.is_null() {
        return Ok(Value::Null);
    }
    if sign == "LIKE" {
        let (left, right) =
            (left.into_text()?.unwrap_or_default(), right.into_text()?.unwrap_or_default());
        return Ok(Value::Bool(like(left.as_bytes(), right.as_bytes())));
    }
    if let Some(order) = match sign {
        "=" | "<>" | "<" | ">" | "<=" | ">=" => left.compare(&right)?,
        _ => None,
    } {
        return Ok(Value::Bool(match sign {
            "=" => order.is_eq(),
            "<>" => order.is_ne(),
            "<" => order.is_lt(),
            ">" => order.is_gt(),
            "<=" => order.is_le(),
            _ => order.is_ge(),
        }));
    }
    arithmetic(sign, left, right)
}

fn arithmetic(sign: &str, left: Value, right: Value) -> Result<Value, Fault> {
    let factor = if sign == "-" { -1 } else { 1 };
    Ok(match (sign, &left, &right) {
        ("+", Value::Interval(_), _) if right.local().is_some() => {
            return arithmetic(sign, right, left);
        }
        ("+" | "-", Value::Interval(a), Value::Interval(b)) => Value::Interval(a + factor * b),
        ("+" | "-", Value::Zoned(micros, zone), Value::Interval(by)) => {
            Value::Zoned(micros + factor * by, *zone)
        }
        ("+" | "-", Value::Time(micros), Value::Interval(by)) => Value::Time(micros + factor * by),
        ("+" | "-", Value::Date(seconds), Value::Interval(by)) => {
            Value::Date(seconds + factor * by / 1_000_000)
        }
        ("-", Value::Date(a), Value::Date(b)) => Value::float((a - b) as f64 / 86_400.0),
        ("-", a, b) if a.local().is_some() && b.local().is_some() => match (a, b) {
            (Value::Zoned(a, _), Value::Zoned(b, _)) => Value::Interval(a - b),
            _ => Value::Interval(a.local().unwrap_or(0) - b.local().unwrap_or(0)),
        },
        // A number is one of days, and the result a DATE.
        ("+" | "-", a, b) if a.local().is_some() => {
            let by = (b.number()?.unwrap_or(0.0) * DAY as f64).round() as i64;
            Value::Date((a.local().unwrap_or(0) + factor * by).div_euclid(1_000_000))
        }
        ("*", Value::Interval(micros), b) => {
            Value::Interval((*micros as f64 * b.number()?.unwrap_or(0.0)).round() as i64)
        }
        ("+", Value::Int(a), Value::Int(b)) => Value::Int(a + b),
        ("-", Value::Int(a), Value::Int(b)) => Value::Int(a - b),
        ("*", Value::Int(a), Value::Int(b)) => Value::Int(a * b),
        ("MOD", Value::Int(a), Value::Int(b)) if *b != 0 => Value::Int(a % b),
        _ => {
            let (a, b) = (left.number()?.unwrap_or(0.0), right.number()?.unwrap_or(0.0));
            if sign == "/" && b == 0.0 {
                return Err(Fault::new(1476, "divisor is equal to zero"));
            }
            Value::float(match sign {
                "+" => a + b,
                "-" => a - b,
                "*" => a * b,
                "/" => a / b,
                _ => a % b,
            })
        }
    })
}

fn extract(field: &str, of: &Value) -> Result<Value, Fault> {
    let micros = match of {
        Value::Null => return Ok(Value::Null),
        Value::Interval(micros) => *micros,
        other => other
            .local()
            .ok_or_else(|| Fault::new(30_076, "invalid extract field for extract source"))?,
    };
    if let (Value::Interval(_), "DAY") = (of, field) {
        return Ok(Value::Int(micros / DAY));
    }
    let seconds = micros.div_euclid(1_000_000);
    // An interval's parts all have its sign.
    let (sign, size) = if matches!(of, Value::Interval(_)) {
        (micros.signum(), micros.abs())
    } else {
        (1, micros)
    };
    let [year, month, day, ..] = time::parts(seconds);
    Ok(match field {
        "YEAR" => Value::Int(year),
        "MONTH" => Value::Int(month),
        "DAY" => Value::Int(day),
        "HOUR" => Value::Int(sign * (size.div_euclid(3_600_000_000)).rem_euclid(24)),
        "MINUTE" => Value::Int(sign * (size.div_euclid(60_000_000)).rem_euclid(60)),
        "SECOND" => Value::float(sign as f64 * size.rem_euclid(60_000_000) as f64 / 1e6),
        _ => return Err(Fault::new(30_076, "invalid extract field for extract source")),
    })
}

fn like(text: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'%', rest)) => (0..=text.len()).any(|at| like(&text[at..], rest)),
        Some((b'_', rest)) => !text.is_empty() && like(&text[1..], rest),
        Some((byte, rest)) => text.first() == Some(byte) && like(&text[1..], rest),
    }
}
