//! `tx` and `on`: the parameter that is the connection to lock on.

use proc_macro2::Ident;
use syn::Expr;

use super::{Args, word};
use crate::fallback::Errors;

pub(crate) struct Connection {
    pub(crate) kind: Kind,
    /// The parameter's name, as the attribute has it.
    pub(crate) name: Ident,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Inside the transaction that is open there.
    Tx,
    /// At session scope.
    On,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Tx => "tx",
            Kind::On => "on",
        }
    }
}

pub(super) fn read(kind: Kind, value: &Expr) -> syn::Result<Connection> {
    match word(value) {
        Some(name) => Ok(Connection { kind, name: name.clone() }),
        None => {
            let name = kind.name();
            let what = match kind {
                Kind::Tx => "with a transaction",
                Kind::On => "that is a connection",
            };
            let message = format!("`{name}` is the name of a parameter {what}: `{name} = conn`");
            Err(syn::Error::new_spanned(value, message))
        }
    }
}

/// What a lock on a connection has no use for, blamed where it is.
pub(super) fn check(args: &Args, errors: &mut Errors) {
    let Some(Connection { kind, name: conn }) = &args.connection else { return };
    for given in &args.given {
        if let Some(why) = refused(*kind, &given.to_string()) {
            let why = why.replace("`conn`", &format!("`{conn}`"));
            let message = format!("`{given}` does not go with `{}`: {why}", kind.name());
            errors.push(syn::Error::new(given.span(), message));
        }
    }
}

fn refused(kind: Kind, name: &str) -> Option<&'static str> {
    Some(match (name, kind) {
        ("locker", _) => "the lock is taken on `conn`, and no locker is asked",
        ("guard", Kind::Tx) => "the transaction holds the lock, and lets go of it when it ends",
        ("guard", Kind::On) => "`conn` itself holds the lock while the body runs",
        ("release", Kind::Tx) => "the lock is released by the end of the transaction",
        ("release", Kind::On) => "`conn` releases the lock, and is the caller's again after that",
        ("on_lost", _) => {
            "the lock is lost only together with `conn`, and then the body's next query fails"
        }
        ("reentrant", Kind::Tx) => "a transaction can take its locks again as it is",
        ("permits", _) => "a lock on a connection has one holder; permits come from a locker",
        ("fenced", _) => "fencing tokens come from a locker",
        ("min_hold", _) => "the lock ends with the connection's own release or transaction",
        ("retry_every", Kind::Tx) => {
            "the transaction is open all the while, and the wait is its own"
        }
        ("ttl" | "auto_renew" | "owner" | "once_per", _) => {
            "it is for leases, and a lock on a connection is none"
        }
        _ => return None,
    })
}
