//! The `key` argument: a template with its literal, or an expression.

use std::ops::Range;

use proc_macro2::{Ident, Span};
use syn::{Expr, ExprLit, Lit, LitStr};

use crate::duration::into_bare;
use crate::fallback::Errors;
use crate::function::Function;
use crate::nearest::no_parameter;
use crate::template::{self, Template};

pub(crate) enum Key {
    Template(Template, LitStr),
    Expr(Box<Expr>),
}

/// The `keys` argument.
pub(crate) enum Keys {
    /// `["a:<x>", key]`
    Listed(Vec<Key>),
    /// Whatever can be iterated.
    Expr(Box<Expr>),
}

pub(crate) fn read_all(value: Expr, errors: &mut Errors) -> syn::Result<Keys> {
    match into_bare(value) {
        Expr::Array(array) if array.elems.is_empty() => {
            Err(syn::Error::new_spanned(&array, "there is nothing to lock: name a key"))
        }
        Expr::Array(array) => {
            Ok(Keys::Listed(array.elems.into_iter().map(|key| read(key, errors)).collect()))
        }
        Expr::Lit(literal) => Err(syn::Error::new_spanned(
            &literal,
            "`keys` are several, as in `keys = [\"from:<a>\", \"to:<b>\"]`; a single one is `key = ..`",
        )),
        value => Ok(Keys::Expr(Box::new(value))),
    }
}

pub(crate) fn read(value: Expr, errors: &mut Errors) -> Key {
    let literal = match into_bare(value) {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => literal,
        value => return Key::Expr(Box::new(value)),
    };
    let (template, mistakes) = template::parse(&literal.value());
    for mistake in mistakes {
        errors.push(blame(&literal, &mistake.at, &mistake.message));
    }
    Key::Template(template, literal)
}

/// Every placeholder must be a parameter.
pub(crate) fn check(template: &Template, literal: &LitStr, of: &Function, errors: &mut Errors) {
    let names: Vec<&str> = of.names.iter().map(|name| name.text.as_str()).collect();
    for value in template.values() {
        let name = value.root.trim_start_matches("r#");
        if names.contains(&name) {
            continue;
        }
        let message = no_parameter(name, &names, |meant| format!("<{meant}>"));
        errors.push(blame(literal, &value.at, &message));
    }
    let text = literal.value();
    for name in names {
        let braces = format!("{{{name}}}");
        if let Some(at) = text.find(&braces) {
            let message = format!("`{braces}` is plain text in a key; write `<{name}>`");
            errors.push(blame(literal, &(at..at + braces.len()), &message));
        }
    }
}

/// An error at a place inside a literal. Stable compilers can only point at the whole literal, so
/// the message draws it with carets.
fn blame(literal: &LitStr, at: &Range<usize>, message: &str) -> syn::Error {
    let text = literal.value();
    let drawn = |range: Range<usize>| text[range].escape_debug().count();
    let margin = " ".repeat(drawn(0..at.start) + 1);
    let carets = "^".repeat(drawn(at.clone()).max(1));
    let message = format!("{message}\n  \"{}\"\n  {margin}{carets}", text.escape_debug());
    syn::Error::new(place(literal, at).unwrap_or_else(|| literal.span()), message)
}

/// The exact place, on compilers that know it.
fn place(literal: &LitStr, at: &Range<usize>) -> Option<Span> {
    let token = literal.token();
    let source = token.to_string();
    let start = source.find('"')? + 1;
    // With escapes, places in the value are not places in the source.
    source[start..].starts_with(&literal.value()).then_some(())?;
    token.subspan(at.start + start..at.end + start)
}

/// A name as an identifier, raw where it is a keyword.
pub(crate) fn ident(name: &str, span: Span) -> Ident {
    let mut ident = match syn::parse_str::<Ident>(name) {
        Ok(ident) => ident,
        Err(_) => Ident::new_raw(name, span),
    };
    ident.set_span(span);
    ident
}
