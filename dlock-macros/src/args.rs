//! The attribute's arguments, each read as far as it goes without the function.

mod connection;
mod terms;
mod words;

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, ExprLit, Lit, LitStr, Path, Token};

use crate::duration::{self, Timeout, bare};
use crate::fallback::Errors;
use crate::key::{self, Key, Keys};
use crate::nearest::{list, nearest};

pub(crate) use self::connection::{Connection, Kind};
pub(crate) use self::terms::{Term, Value};
use self::words::word;
pub(crate) use self::words::{OnBusy, OnLost, Release};

/// Every argument there is but the terms, with what to write behind its name.
const KNOWN: [(&str, &str); 12] = [
    ("key", "\"user:<user_id>\""),
    ("keys", "[\"from:<a>\", \"to:<b>\"]"),
    ("timeout", "10"),
    ("on_busy", "skip"),
    ("on_error", "|error| .."),
    ("on_lost", "report"),
    ("release", "background"),
    ("locker", "\"name\""),
    ("guard", "lock"),
    ("tx", "conn"),
    ("on", "conn"),
    ("crate", "path::to::dlock"),
];

#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<Key>,
    pub(crate) keys: Option<Keys>,
    pub(crate) terms: Vec<Term>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) on_busy: OnBusy,
    pub(crate) on_error: Option<Expr>,
    pub(crate) on_lost: Option<(OnLost, Span)>,
    pub(crate) release: Release,
    pub(crate) locker: Option<Expr>,
    pub(crate) guard: Option<(Option<Token![mut]>, Ident)>,
    pub(crate) connection: Option<Connection>,
    pub(crate) krate: Option<Path>,
    /// The names of all that are there.
    pub(crate) given: Vec<Ident>,
}

impl Args {
    /// All the keys that are written down.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        let listed: &[Key] = match &self.keys {
            Some(Keys::Listed(keys)) => keys,
            Some(Keys::Expr(_)) | None => &[],
        };
        self.key.iter().chain(listed)
    }
}

pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Args {
    let mut args = Args::default();
    let read = |input: ParseStream<'_>| {
        while !input.is_empty() {
            let argument = argument(input, &mut args, errors);
            if errors.keep(argument).is_none() {
                skip(input);
            }
            if !input.is_empty() && errors.keep(input.parse::<Token![,]>()).is_none() {
                skip(input);
                let _ = input.parse::<Token![,]>();
            }
        }
        Ok(())
    };
    let result = read.parse2(tokens);
    errors.keep(result);
    if let (OnBusy::Skip(_), None) = (&args.on_busy, &args.timeout) {
        // Who skips what another one does already does not wait until that is done, to do it again.
        args.timeout = Some(Timeout::After(Duration::ZERO));
    }
    terms::check(&args.terms, errors);
    connection::check(&args, errors);
    once_is_known(&args, errors);
    args
}

/// A run that went on without its lock does not count as the one of its period, and the caller would
/// not learn that it may happen again.
fn once_is_known(args: &Args, errors: &mut Errors) {
    if let Some((OnLost::Ignore, at)) = args.on_lost
        && args.terms.iter().any(|term| term.name == "once_per")
    {
        errors.push(syn::Error::new(
            at,
            "`once_per` and `on_lost = ignore` exclude each other: after a loss somebody else may run \
             it again, and the caller must learn that; write `on_lost = report`",
        ));
    }
}

/// Up to the next comma.
fn skip(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        let _ = input.parse::<TokenTree>();
    }
}

fn argument(input: ParseStream<'_>, args: &mut Args, errors: &mut Errors) -> syn::Result<()> {
    let Ok(ident) = input.call(Ident::parse_any) else {
        let hint = if input.peek(LitStr) {
            "a key is written with its name"
        } else {
            "expected an argument"
        };
        return Err(input.error(format!("{hint}, as in `key = \"user:<user_id>\"`")));
    };
    let name = ident.unraw().to_string();
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    if known.is_none() && !terms::KNOWN.iter().any(|(known, ..)| *known == name) {
        let _ = value(input);
        return Err(syn::Error::new(ident.span(), unknown(&name)));
    }
    if let Some(message) = twice(&name, &args.given) {
        let _ = value(input);
        return Err(syn::Error::new(ident.span(), message));
    }
    args.given.push(Ident::new(&name, ident.span()));
    let Some((_, example)) = known else {
        let ident = Ident::new(&name, ident.span());
        if let Some(term) = terms::read(&ident, input) {
            args.terms.push(term?);
        }
        return Ok(());
    };
    let needs = |what| format!("`{name}` needs {what}, as in `{name} = {example}`");
    let equals = input.parse::<Option<Token![=]>>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(ident.span(), needs("a value")));
    }
    if equals.is_none() {
        return Err(input.error(needs("a `=`")));
    }
    match name.as_str() {
        "guard" => {
            let read = |input: ParseStream<'_>| Ok((input.parse()?, input.parse()?));
            args.guard = Some(read(input).map_err(|error| renamed(&error, &needs("a name")))?);
        }
        "crate" => {
            let path = input.call(Path::parse_mod_style);
            args.krate = Some(path.map_err(|error| renamed(&error, &needs("a path")))?);
        }
        name => set(args, name, expr(input)?, errors)?,
    }
    Ok(())
}

/// Why there cannot be an argument of this name beside those before it.
fn twice(name: &str, given: &[Ident]) -> Option<String> {
    let is_given = |name: &str| given.iter().any(|given| given == name);
    let other = match name {
        "key" => "keys",
        "keys" => "key",
        "tx" => "on",
        "on" => "tx",
        _ => name,
    };
    if is_given(name) {
        return Some(format!("`{name}` is given twice"));
    }
    is_given(other).then(|| match name {
        "key" | "keys" => {
            "`key` and `keys` exclude each other: write all of them as `keys = [..]`".to_owned()
        }
        _ => "`tx` and `on` exclude each other: the lock ends with the transaction, or with the \
              call"
            .to_owned(),
    })
}

fn set(args: &mut Args, name: &str, value: Expr, errors: &mut Errors) -> syn::Result<()> {
    match name {
        "key" => args.key = Some(key::read(value, errors)),
        "keys" => args.keys = Some(key::read_all(value, errors)?),
        "timeout" => args.timeout = Some(duration::read(value, "timeout")?),
        "on_busy" => args.on_busy = words::on_busy(value)?,
        "on_error" => args.on_error = Some(value),
        "on_lost" => args.on_lost = Some(words::on_lost(&value)?),
        "release" => args.release = words::release(&value)?,
        "tx" => args.connection = Some(connection::read(Kind::Tx, &value)?),
        "on" => args.connection = Some(connection::read(Kind::On, &value)?),
        _ => args.locker = Some(locker(value)?),
    }
    Ok(())
}

/// An expression in quotes is a name that no locker has: refused here, where it can be seen.
fn locker(value: Expr) -> syn::Result<Expr> {
    if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = bare(&value) {
        let name = text.value();
        let expression = name.trim_start_matches('&');
        if name.starts_with('&') || expression == "self" || expression.starts_with("self.") {
            return Err(syn::Error::new(
                text.span(),
                format!(
                    "a locker in quotes is a name in `dlock::registry`; for an expression \
                         write `locker = &{expression}`, without quotes"
                ),
            ));
        }
    }
    Ok(value)
}

/// The same error in our words.
fn renamed(error: &syn::Error, message: &str) -> syn::Error {
    syn::Error::new(error.span(), message)
}

/// An expression; a `mut` or the like that cannot begin one is blamed there.
fn expr(input: ParseStream<'_>) -> syn::Result<Expr> {
    let ahead = input.fork();
    let value = ahead.parse::<Expr>()?;
    syn::parse::discouraged::Speculative::advance_to(input, &ahead);
    Ok(value)
}

/// The value of an argument that is refused, so that what follows is read all the same.
fn value(input: ParseStream<'_>) -> syn::Result<()> {
    if input.parse::<Option<Token![=]>>()?.is_some() {
        expr(input)?;
    }
    Ok(())
}

fn unknown(name: &str) -> String {
    let known = KNOWN.iter().map(|(name, _)| *name);
    let known: Vec<_> = known.chain(terms::KNOWN.iter().map(|(name, ..)| *name)).collect();
    match elsewhere(name).or_else(|| nearest(name, &known)) {
        Some(meant) => {
            format!("unknown argument `{name}`; did you mean `{meant}`? There are {}", list(&known))
        }
        None => format!("unknown argument `{name}`; there are {}", list(&known)),
    }
}

/// What an argument is called here that other libraries, or everyday words, call so.
fn elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "name" | "id" | "lock" | "resource" => "key",
        "wait" | "wait_timeout" | "acquire_timeout" | "max_wait" | "blocking_timeout" => "timeout",
        "busy" | "if_busy" | "on_timeout" | "on_contended" => "on_busy",
        "lease" | "expire" | "expires" | "expires_in" | "lock_at_most_for" => "ttl",
        "lock_at_least_for" | "hold" => "min_hold",
        "every" | "period" | "once" | "once_every" | "once_in" => "once_per",
        "shared" | "read" | "reader" => "mode = shared",
        "exclusive" | "write" | "writer" => "mode = exclusive",
        "fence" | "fencing" | "token" => "fenced",
        "semaphore" | "limit" | "max" => "permits",
        "poll" | "retry" | "interval" => "retry_every",
        "renew" => "auto_renew",
        "registry" | "db" | "database" | "pool" => "locker",
        "transaction" => "tx",
        "connection" | "conn" => "on",
        _ => return None,
    })
}
