//! The types of expressions, which are known before any row is.

use super::ast::Expr;
use super::error::Fault;
use super::functions;
use super::query;
use super::scope::Scope;
use super::value::Type;

/// The type that an expression has, whatever its value.
pub(super) fn type_of(expr: &Expr, scope: &Scope<'_>) -> Result<Type, Fault> {
    Ok(match expr {
        Expr::Literal(_, of) => *of,
        Expr::Variable(name) => match name.as_str() {
            "@@spid" => Type::SmallInt,
            "@@version" | "@@servername" | "@@servicename" => Type::Text(Some(300)),
            name if name.starts_with("@@") => Type::Int,
            name => scope.variable(name)?.0,
        },
        Expr::Column(name) => scope.column(name)?.0.of,
        Expr::Negative(of) | Expr::Collate(of, _) => type_of(of, scope)?,
        Expr::Binary("+" | "-" | "*" | "/" | "%" | "&" | "|" | "^", left, right) => {
            match (type_of(left, scope)?, type_of(right, scope)?) {
                (Type::Text(left), Type::Text(right)) => {
                    Type::Text(left.zip(right).map(|(a, b)| a + b))
                }
                (Type::Bytes(left), Type::Bytes(right)) => {
                    Type::Bytes(left.zip(right).map(|(a, b)| a + b))
                }
                (left, right) => left.wider(right),
            }
        }
        Expr::Call(name, arguments) => functions::type_of(name, arguments, scope)?,
        Expr::Case { whens, otherwise, .. } => {
            let branches = whens.iter().map(|(_, then)| then).chain(otherwise.as_deref());
            of_any(branches, scope)?
        }
        Expr::Cast { to, .. } => *to,
        Expr::Scalar(query) => {
            let columns = query::columns(query, scope)?;
            columns.first().map_or(Type::Int, |column| column.of)
        }
        _ => Type::Bit,
    })
}

/// The type of what is one of these; NULL has none of its own.
pub(super) fn of_any<'a>(
    all: impl Iterator<Item = &'a Expr>,
    scope: &Scope<'_>,
) -> Result<Type, Fault> {
    let mut whole = None;
    for expr in all {
        if !matches!(expr, Expr::Literal(super::value::Value::Null, _)) {
            let of = type_of(expr, scope)?;
            whole = Some(whole.map_or(of, |whole: Type| whole.wider(of)));
        }
    }
    Ok(whole.unwrap_or(Type::Int))
}

/// Whether its text compares by bytes.
pub(super) fn is_binary(expr: &Expr, scope: &Scope<'_>) -> bool {
    match expr {
        Expr::Collate(_, binary) => *binary,
        Expr::Column(name) => scope.column(name).is_ok_and(|(column, _)| column.binary),
        Expr::Binary(_, left, right) => is_binary(left, scope) || is_binary(right, scope),
        Expr::Call(_, arguments) => arguments.iter().any(|argument| is_binary(argument, scope)),
        _ => false,
    }
}
