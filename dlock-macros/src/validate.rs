//! What is wrong only when arguments and function are seen together.

use syn::spanned::Spanned;

use crate::args::{Args, Connection, Kind, OnBusy, OnLost};
use crate::fallback::Errors;
use crate::function::Function;
use crate::key::{self, Key};
use crate::nearest::no_parameter;
use crate::shape::Shape;

pub(crate) fn validate(args: &Args, function: &Function, errors: &mut Errors) {
    qualifiers(function, errors);
    for key in args.keys() {
        if let Key::Template(template, literal) = key {
            key::check(template, literal, function, errors);
        }
    }
    if let Some(connection) = &args.connection {
        self::connection(connection, function, errors);
    }
    if let (Some((OnLost::Cancel, span)), Shape::Sync) = (args.on_lost, &function.shape) {
        errors.push(syn::Error::new(
            span,
            "a function that is not async cannot be cancelled; `on_lost = report` lets it finish \
             and then returns the error, and a `guard` can be asked with `is_lost()`",
        ));
    }
    if let (OnBusy::Skip(span), Some(syn::Type::ImplTrait(_))) = (&args.on_busy, function.returns())
    {
        errors.push(syn::Error::new(
            *span,
            "`skip` returns `Default::default()`, and of an `impl Trait` nobody knows which; \
             write the value: `on_busy = ..`",
        ));
    }
}

/// A parameter that can be locked on.
fn connection(Connection { kind, name }: &Connection, of: &Function, errors: &mut Errors) {
    let argument = kind.name();
    let mut wrong = |message| errors.push(syn::Error::new(name.span(), message));
    if let Shape::Sync = of.shape {
        wrong(format!("`{argument}` needs an `async fn`: the connection is awaited"));
    }
    let text = name.to_string();
    if text == "self" {
        return wrong(format!("`{argument}` is for a parameter, and `self` is no connection"));
    }
    if of.name(&text).is_none() {
        let names = of.names.iter().map(|name| name.text.as_str());
        let names: Vec<&str> = names.filter(|name| *name != "self").collect();
        return wrong(no_parameter(&text, &names, str::to_owned));
    }
    if *kind == Kind::On && !of.is_mut_reference(&text) {
        wrong(
            "`on` needs the connection as `&mut ..`, so that it is still there to release the lock"
                .to_owned(),
        );
    }
}

fn qualifiers(function: &Function, errors: &mut Errors) {
    let sig = &function.sig;
    if let Some(constness) = &sig.constness {
        errors.push(syn::Error::new(
            constness.span(),
            "a `const fn` can run at compile time, where there is no lock; remove the `const`",
        ));
    }
    if let Some(abi) = &sig.abi
        && abi.name.as_ref().is_none_or(|name| name.value() != "Rust")
    {
        errors.push(syn::Error::new_spanned(
            abi,
            "a function that other languages call cannot be locked here; \
             put `#[locked]` on a Rust function and call that",
        ));
    }
    if let Some(variadic) = &sig.variadic {
        errors.push(syn::Error::new_spanned(variadic, "a variadic function cannot be locked"));
    }
}
