//! The `#[locked]` attribute of dlock. Use it through the `dlock` crate, whose documentation
//! explains it: what this crate emits calls into a `dlock` of the very same version.

mod args;
mod duration;
mod expand;
mod fallback;
mod function;
#[cfg(test)]
mod fuzz;
mod key;
mod nearest;
mod shape;
mod spec;
mod template;
mod types;
mod validate;

use proc_macro::TokenStream;

// Documented where it is used from: in `dlock`.
#[allow(missing_docs)]
#[proc_macro_attribute]
pub fn locked(args: TokenStream, item: TokenStream) -> TokenStream {
    let item = item.into();
    expand_or_explain(args.into(), &item).unwrap_or_else(|errors| errors.beside(item)).into()
}

/// Both inputs are read before the first error is returned, so that all errors come at once.
fn expand_or_explain(
    args: proc_macro2::TokenStream,
    item: &proc_macro2::TokenStream,
) -> Result<proc_macro2::TokenStream, fallback::Errors> {
    let mut errors = fallback::Errors::default();
    let args = args::parse(args, &mut errors);
    let function = errors.keep(function::parse(item.clone()));
    if let Some(function) = &function {
        validate::validate(&args, function, &mut errors);
    }
    match function {
        Some(function) if errors.is_empty() => Ok(expand::expand(&args, function)),
        _ => Err(errors),
    }
}
