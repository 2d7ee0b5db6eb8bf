//! What the call returns when the lock stands in the way of the body.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

use super::{Expansion, ours};
use crate::args::OnBusy;
use crate::types;

impl Expansion<'_> {
    /// What the call returns when there is no lock. In this order, the two ends of `if` have the
    /// return type, and each is blamed for itself.
    pub(super) fn not_entered(&self) -> TokenStream {
        let Expansion { private, returns, .. } = self;
        let failed = self.failed();
        let busy = match &self.args.on_busy {
            OnBusy::Error if self.args.on_error.is_none() => return failed,
            OnBusy::Error => self.carried(),
            OnBusy::Skip(at) => {
                let at = ours().located_at(*at);
                quote_spanned!(at=> {
                    use #private::SkipOther as _;
                    #private::Skip::<#returns>::new().skipped()
                })
            }
            OnBusy::Value(value) => self.users(value),
        };
        quote_spanned!(ours()=> if __dlock_error.is_timeout() { #busy } else { #failed })
    }

    /// What the call returns after any other failure.
    pub(super) fn failed(&self) -> TokenStream {
        let Expansion { private, returns, .. } = self;
        match &self.args.on_error {
            None => self.carried(),
            Some(handler) => {
                let handler = self.users(handler);
                quote_spanned!(ours()=> #private::on_error::<#returns>(__dlock_error, #handler))
            }
        }
    }

    /// The error inside the return type.
    fn carried(&self) -> TokenStream {
        self.asked(
            |private, returns, at| quote_spanned!(at=> #private::failed::<#returns>(__dlock_error)),
        )
    }

    /// That the return type has room for an error.
    pub(super) fn room(&self) -> TokenStream {
        self.asked(|private, returns, at| quote_spanned!(at=> #private::room::<#returns>()))
    }

    /// Something that is asked of the return type. Every token lies on it, for it is to blame.
    fn asked(
        &self,
        ask: impl FnOnce(TokenStream, &TokenStream, Span) -> TokenStream,
    ) -> TokenStream {
        let at = ours().located_at(self.function.returns_span());
        ask(types::located_at(self.private.clone(), at), &self.returns, at)
    }
}
