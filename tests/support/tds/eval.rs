//! What expressions come to.

use std::cmp::Ordering;

use super::ast::Expr;
use super::error::Fault;
use super::functions;
use super::query;
use super::scope::Scope;
use super::types;
use super::value::{Type, Value};

/// The value of an expression; of a condition, 1, 0 or NULL.
pub(super) fn eval(expr: &Expr, scope: &Scope<'_>) -> Result<Value, Fault> {
    Ok(match expr {
        Expr::Literal(value, _) => value.clone(),
        Expr::Variable(name) if name.starts_with("@@") => functions::global(name, scope)?,
        Expr::Variable(name) => scope.variable(name)?.1.clone(),
        Expr::Column(name) => scope.column(name)?.1.clone(),
        Expr::Star => return Err(Fault::syntax("'*'")),
        Expr::Not(of) => match truth(of, scope)? {
            Some(truth) => Value::bit(!truth),
            None => Value::Null,
        },
        Expr::Negative(of) => match eval(of, scope)? {
            Value::Int(int) => Value::Int(-int),
            Value::Float(float) => Value::Float(-float),
            other => other,
        },
        Expr::Binary("AND", left, right) => match (truth(left, scope)?, truth(right, scope)?) {
            (Some(false), _) | (_, Some(false)) => Value::bit(false),
            (Some(true), Some(true)) => Value::bit(true),
            _ => Value::Null,
        },
        Expr::Binary("OR", left, right) => match (truth(left, scope)?, truth(right, scope)?) {
            (Some(true), _) | (_, Some(true)) => Value::bit(true),
            (Some(false), Some(false)) => Value::bit(false),
            _ => Value::Null,
        },
        Expr::Binary(symbol @ ("=" | "<>" | "<" | "<=" | ">" | ">="), left, right) => {
            let binary = types::is_binary(left, scope) || types::is_binary(right, scope);
            let order = eval(left, scope)?.compare(&eval(right, scope)?, binary)?;
            order.map_or(Value::Null, |order| Value::bit(is_so(symbol, order)))
        }
        Expr::Binary(symbol, left, right) => {
            let to = types::type_of(expr, scope)?;
            operation(symbol, eval(left, scope)?, eval(right, scope)?, to)?
        }
        Expr::Call(name, arguments) => functions::call(name, arguments, scope)?,
        Expr::Case { of, whens, otherwise } => {
            let to = types::type_of(expr, scope)?;
            let mut chosen = otherwise.as_deref();
            for (when, then) in whens {
                let is_it = match of {
                    Some(of) => {
                        eval(of, scope)?.compare(&eval(when, scope)?, false)?
                            == Some(Ordering::Equal)
                    }
                    None => is_true(when, scope)?,
                };
                if is_it {
                    chosen = Some(then);
                    break;
                }
            }
            chosen.map_or(Ok(Value::Null), |chosen| eval(chosen, scope)?.into_type(to))?
        }
        Expr::Cast { of, to, tries } => match eval(of, scope)?.into_type(*to) {
            Err(_) if *tries => Value::Null,
            other => other?,
        },
        Expr::Collate(of, _) => eval(of, scope)?,
        Expr::IsNull(of) => Value::bit(eval(of, scope)?.is_null()),
        Expr::In(of, list) => {
            let value = eval(of, scope)?;
            let values = list.iter().map(|one| eval(one, scope)).collect::<Result<Vec<_>, _>>()?;
            is_in(&value, &values, types::is_binary(of, scope))?
        }
        Expr::InQuery(of, query) => {
            let value = eval(of, scope)?;
            let rows = query::run(query, scope)?.rows;
            let values: Vec<_> =
                rows.into_iter().filter_map(|row| row.into_iter().next()).collect();
            is_in(&value, &values, types::is_binary(of, scope))?
        }
        Expr::Like(of, pattern) => {
            match (eval(of, scope)?.into_text()?, eval(pattern, scope)?.into_text()?) {
                (Some(text), Some(pattern)) => Value::bit(is_like(&text, &pattern)),
                _ => Value::Null,
            }
        }
        Expr::Exists(query) => Value::bit(!query::run(query, scope)?.rows.is_empty()),
        Expr::Scalar(query) => {
            let mut rows = query::run(query, scope)?.rows;
            if rows.len() > 1 {
                return Err(Fault::new(512, "Subquery returned more than 1 value."));
            }
            rows.pop().and_then(|row| row.into_iter().next()).unwrap_or(Value::Null)
        }
    })
}

/// Whether a condition is true, false or unknown.
pub(super) fn truth(expr: &Expr, scope: &Scope<'_>) -> Result<Option<bool>, Fault> {
    Ok(match eval(expr, scope)? {
        Value::Null => None,
        Value::Int(int) => Some(int != 0),
        _ => {
            return Err(Fault::syntax(
                "An expression of non-boolean type where a condition is expected",
            ));
        }
    })
}

/// Whether a condition is true.
pub(super) fn is_true(expr: &Expr, scope: &Scope<'_>) -> Result<bool, Fault> {
    Ok(truth(expr, scope)? == Some(true))
}

fn is_so(symbol: &str, order: Ordering) -> bool {
    match symbol {
        "=" => order.is_eq(),
        "<>" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn is_in(value: &Value, values: &[Value], binary: bool) -> Result<Value, Fault> {
    let mut unknown = false;
    for other in values {
        match value.compare(other, binary)? {
            Some(Ordering::Equal) => return Ok(Value::bit(true)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    Ok(if unknown { Value::Null } else { Value::bit(false) })
}

fn operation(symbol: &str, left: Value, right: Value, to: Type) -> Result<Value, Fault> {
    if left.is_null() || right.is_null() {
        return Ok(Value::Null);
    }
    let overflow =
        || Fault::new(8115, "Arithmetic overflow error converting expression to data type int.");
    let value = match (symbol, left.into_type(to)?, right.into_type(to)?) {
        ("+", Value::Text(left), Value::Text(right)) => Value::Text(left + &right),
        ("+", Value::Bytes(left), Value::Bytes(right)) => Value::Bytes([left, right].concat()),
        ("/" | "%", _, Value::Int(0)) => {
            return Err(Fault::new(8134, "Divide by zero error encountered."));
        }
        (_, Value::Int(left), Value::Int(right)) => {
            let result = match symbol {
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                "/" => left.checked_div(right),
                "%" => left.checked_rem(right),
                "&" => Some(left & right),
                "|" => Some(left | right),
                _ => Some(left ^ right),
            };
            Value::Int(result.ok_or_else(overflow)?)
        }
        (_, Value::Float(left), Value::Float(right)) => Value::Float(match symbol {
            "+" => left + right,
            "-" => left - right,
            "*" => left * right,
            "/" => left / right,
            _ => left % right,
        }),
        (symbol, left, right) => {
            return Err(Fault::new(
                402,
                format!(
                    "The data types of {left:?} and {right:?} are incompatible in the '{symbol}' operator."
                ),
            ));
        }
    };
    value.into_type(to)
}

/// `%`, `_` and one character of `[…]`.
fn is_like(text: &str, pattern: &str) -> bool {
    fn matches(text: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|at| matches(&text[at..], rest)),
            ['[', one, ']', rest @ ..] => text.first() == Some(one) && matches(&text[1..], rest),
            ['_', rest @ ..] => !text.is_empty() && matches(&text[1..], rest),
            [one, rest @ ..] => text.first() == Some(one) && matches(&text[1..], rest),
        }
    }
    let chars = |text: &str| text.to_lowercase().chars().collect::<Vec<_>>();
    matches(&chars(text), &chars(pattern))
}
