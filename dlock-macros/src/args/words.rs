//! Arguments whose value is a word.

use proc_macro2::{Ident, Span};
use syn::Expr;

use crate::duration::bare;
use crate::nearest::{list, nearest};

/// What a call that did not get the lock in time returns.
#[derive(Default)]
pub(crate) enum OnBusy {
    #[default]
    Error,
    Skip(Span),
    Value(Expr),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum OnLost {
    Cancel,
    Report,
    Ignore,
}

#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Release {
    #[default]
    Confirmed,
    Background,
}

pub(super) fn on_busy(value: Expr) -> syn::Result<OnBusy> {
    let Some(word) = word(&value) else {
        return Ok(OnBusy::Value(value));
    };
    let name = word.to_string();
    match name.as_str() {
        "error" => Ok(OnBusy::Error),
        "skip" => Ok(OnBusy::Skip(word.span())),
        _ if ["error", "skip"].contains(&&*name.to_lowercase()) => {
            let message = format!("write `on_busy = {}`, in lower case", name.to_lowercase());
            Err(syn::Error::new(word.span(), message))
        }
        _ => Ok(OnBusy::Value(value)),
    }
}

pub(super) fn on_lost(value: &Expr) -> syn::Result<(OnLost, Span)> {
    use OnLost::{Cancel, Ignore, Report};
    one_of(value, &[("cancel", Cancel), ("report", Report), ("ignore", Ignore)])
}

pub(super) fn release(value: &Expr) -> syn::Result<Release> {
    use Release::{Background, Confirmed};
    Ok(one_of(value, &[("confirmed", Confirmed), ("background", Background)])?.0)
}

/// The single word that an expression is.
pub(super) fn word(value: &Expr) -> Option<&Ident> {
    match bare(value) {
        Expr::Path(path) => path.path.get_ident(),
        _ => None,
    }
}

fn one_of<T: Copy>(value: &Expr, words: &[(&str, T)]) -> syn::Result<(T, Span)> {
    let written = word(value);
    let found = written.and_then(|word| {
        words.iter().find(|(name, _)| word == name).map(|(_, meaning)| (*meaning, word.span()))
    });
    found.ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let meant = written.and_then(|word| nearest(&word.to_string().to_lowercase(), &names));
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        let message = format!("expected one of {}{meant}", list(&names));
        syn::Error::new_spanned(value, message)
    })
}
