//! What comes out when something is wrong: every error at once, and the function as it was.

use proc_macro2::TokenStream;
use quote::quote;

/// The errors found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(errors) => errors.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The value, or nothing and the error kept.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The errors beside the unchanged item: its callers still find it, so one mistake is
    /// one error, and an editor goes on knowing the function while its attribute is being typed.
    pub(crate) fn beside(self, item: TokenStream) -> TokenStream {
        let errors = self.0.map(syn::Error::into_compile_error);
        // What only the attribute has used is no mistake of its own.
        quote!(#errors #[allow(unused_mut, unused_variables)] #item)
    }
}
