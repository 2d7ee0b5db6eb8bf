//! What is wrong only when arguments and function are seen together.

use syn::spanned::Spanned;

use crate::args::{Args, OnBusy, OnLost};
use crate::fallback::Errors;
use crate::function::Function;
use crate::key::{self, Key};
use crate::shape::Shape;

pub(crate) fn validate(args: &Args, function: &Function, errors: &mut Errors) {
    qualifiers(function, errors);
    for key in args.keys() {
        if let Key::Template(template, literal) = key {
            key::check(template, literal, function, errors);
        }
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
