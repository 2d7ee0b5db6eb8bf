//! The arguments that are methods of `dlock::Lock` of the same name.

use std::time::Duration;

use proc_macro2::{Ident, Span};
use quote::ToTokens;
use syn::parse::ParseStream;
use syn::{Expr, Lit, Token};

use super::{expr, word};
use crate::duration::{self, Timeout, bare};
use crate::fallback::Errors;
use crate::nearest::{list, nearest};

/// A name, an example of a value, and what a value is.
type Known = (&'static str, &'static str, Kind);

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// It is there or not.
    Flag,
    Mode,
    Permits,
    Bool,
    Text,
    /// More than nothing.
    Time,
    /// The same, or `none`.
    TimeToLive,
}

pub(super) const KNOWN: [Known; 10] = [
    ("mode", "shared", Kind::Mode),
    ("permits", "3", Kind::Permits),
    ("fenced", "", Kind::Flag),
    ("reentrant", "", Kind::Flag),
    ("ttl", "\"30s\"", Kind::TimeToLive),
    ("auto_renew", "false", Kind::Bool),
    ("owner", "\"name\"", Kind::Text),
    ("min_hold", "\"1m\"", Kind::Time),
    ("once_per", "\"1d\"", Kind::Time),
    ("retry_every", "\"500ms\"", Kind::Time),
];

const MODES: [&str; 7] = [
    "exclusive",
    "shared",
    "update",
    "sub_shared",
    "sub_exclusive",
    "shared_sub_exclusive",
    "null",
];

/// One of them, as it was written.
pub(crate) struct Term {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    Flag,
    /// `dlock::Mode::…`
    Mode(String, Span),
    Time(Timeout),
    Expr(Box<Expr>),
}

/// Reads what follows the name of one of them; `None` if it is not one.
pub(super) fn read(name: &Ident, input: ParseStream<'_>) -> Option<syn::Result<Term>> {
    let (_, example, kind) = KNOWN.iter().find(|(known, ..)| name == known)?;
    Some(value(name, example, *kind, input).map(|value| Term { name: name.clone(), value }))
}

fn value(name: &Ident, example: &str, kind: Kind, input: ParseStream<'_>) -> syn::Result<Value> {
    let ends = |input: ParseStream<'_>| input.is_empty() || input.peek(Token![,]);
    if let Kind::Flag = kind {
        if ends(input) {
            return Ok(Value::Flag);
        }
        let error = input.error(format!("`{name}` has no value: it is there or not"));
        let _ = super::value(input);
        return Err(error);
    }
    let needs = |what| format!("`{name}` needs {what}, as in `{name} = {example}`");
    let equals = input.parse::<Option<Token![=]>>()?;
    if ends(input) {
        return Err(syn::Error::new(name.span(), needs("a value")));
    }
    if equals.is_none() {
        return Err(input.error(needs("a `=`")));
    }
    checked(name, kind, expr(input)?)
}

fn checked(name: &Ident, kind: Kind, value: Expr) -> syn::Result<Value> {
    let written = value.to_token_stream();
    let wrong = |message: String| Err(syn::Error::new_spanned(&written, message));
    let literal = match bare(&value) {
        Expr::Lit(literal) => Some(&literal.lit),
        _ => None,
    };
    match (kind, literal) {
        (Kind::Mode, Some(_)) => return wrong(format!("a mode is one of {}", list(MODES))),
        (Kind::Mode, None) => return mode(value),
        (Kind::Permits, Some(Lit::Int(n))) if n.base10_parse::<u32>().is_ok_and(|n| n > 0) => {}
        (Kind::Permits, literal) if literal.is_some() || matches!(bare(&value), Expr::Unary(_)) => {
            return wrong("`permits` is how many may hold the lock at once: 1 or more".to_owned());
        }
        (Kind::Bool, Some(literal)) if !matches!(literal, Lit::Bool(_)) => {
            return wrong(format!("`{name}` is `true` or `false`"));
        }
        (Kind::Text, Some(literal)) if !matches!(literal, Lit::Str(_)) => {
            return wrong(format!("`{name}` is a text, as in `{name} = \"name\"`"));
        }
        (Kind::Time | Kind::TimeToLive, _) => {
            let time = duration::read(value, &name.to_string())?;
            return match (&time, kind) {
                (Timeout::After(Duration::ZERO), _) => {
                    wrong(format!("`{name}` must be more than nothing; leave it out"))
                }
                (Timeout::Never, Kind::Time) => {
                    wrong(format!("`{name}` is a time that ends; leave it out for none"))
                }
                _ => Ok(Value::Time(time)),
            };
        }
        _ => {}
    }
    Ok(Value::Expr(Box::new(value)))
}

/// A word, or an expression that is a `dlock::Mode`.
fn mode(value: Expr) -> syn::Result<Value> {
    let Some(word) = word(&value) else {
        return Ok(Value::Expr(Box::new(value)));
    };
    let text = word.to_string();
    if MODES.contains(&&*text) {
        let camel = |part: &str| part[..1].to_uppercase() + &part[1..];
        let name = text.split('_').map(camel).collect();
        return Ok(Value::Mode(name, word.span()));
    }
    match nearest(&text, &MODES) {
        Some(meant) => {
            let message = format!("a mode is one of {}; did you mean `{meant}`?", list(MODES));
            Err(syn::Error::new_spanned(&value, message))
        }
        // A parameter, perhaps.
        None => Ok(Value::Expr(Box::new(value))),
    }
}

/// What does not go together, blamed where it comes second.
pub(super) fn check(terms: &[Term], errors: &mut Errors) {
    let of = |name: &str| terms.iter().position(|term| term.name == name);
    let shared = terms.iter().position(|term| match &term.value {
        Value::Mode(mode, _) => matches!(&**mode, "Shared" | "SubShared" | "SubExclusive" | "Null"),
        _ => false,
    });
    let moded = terms.iter().position(|term| match &term.value {
        Value::Mode(mode, _) => mode != "Exclusive",
        _ => false,
    });
    for (one, other, why) in [
        (
            of("permits"),
            of("fenced"),
            "of permits there are several holders, and a fencing token tells the later of two",
        ),
        (of("permits"), moded, "permits are of exclusive locks"),
        (of("permits"), of("once_per"), "each of the holders would run once in the period"),
        (
            of("fenced"),
            shared,
            "such a lock has several holders, and a fencing token tells the later of two",
        ),
    ] {
        if let (Some(one), Some(other)) = (one, other)
            && let (Some(first), Some(second)) =
                (terms.get(one.min(other)), terms.get(one.max(other)))
        {
            let message =
                format!("`{}` and `{}` exclude each other: {why}", first.name, second.name);
            errors.push(syn::Error::new(second.name.span(), message));
        }
    }
}
