//! The body, run under the lock.

use proc_macro2::{Group, Ident, TokenStream};
use quote::quote_spanned;
use syn::Type;

use super::{Expansion, ours};
use crate::args::{OnBusy, OnLost, Release};
use crate::key::Key;
use crate::shape::Shape;
use crate::types;

impl Expansion<'_> {
    /// Lock, body and release in one call, unless something has to come between them.
    pub(super) fn run_with_fallback(&self, on_loss: &TokenStream) -> Option<TokenStream> {
        let Expansion { private, args, .. } = self;
        // An expression of the user's for a call without the lock can have the parameters, and the
        // body takes them. What it says of a loss as well cannot have them in any case.
        let before_the_body = match (&args.on_busy, &args.on_error) {
            (OnBusy::Value(_), _) => true,
            (_, on_error) => on_error.is_some() && self.on_lost() == OnLost::Ignore,
        };
        if args.guard.is_some() || before_the_body {
            return None;
        }
        let body = self.body();
        let carries = matches!(args.on_busy, OnBusy::Error) && args.on_error.is_none();
        if carries {
            let (run_or_error, dot_await) = self.runner("run_or_error");
            let room = self.room();
            return Some(quote_spanned!(ours()=>
                #private::#run_or_error(__dlock_lock, #on_loss, #body, #room)#dot_await
            ));
        }
        let (run_with_fallback, dot_await) = self.runner("run_with_fallback");
        let (is_err, not_entered) = (self.is_err(), self.not_entered());
        let whole = quote_spanned!(ours()=>
            #private::#run_with_fallback(__dlock_lock, #on_loss, #body, #is_err)#dot_await
        );
        Some(self.or_else(&whole, &not_entered))
    }

    /// The one of the functions of that name that is for this kind of function.
    fn runner(&self, name: &str) -> (Ident, TokenStream) {
        let background = self.args.release == Release::Background;
        let blocking = if self.is_async() { "" } else { "_blocking" };
        let background = if background { "_background" } else { "" };
        let dot_await = self.is_async().then(|| quote_spanned!(ours()=> .await));
        let name = Ident::new(&format!("{name}{blocking}{background}"), ours());
        (name, dot_await.unwrap_or_default())
    }

    pub(super) fn run(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        let body = self.body();
        let (runner, dot_await) = self.runner("run");
        if self.on_lost() == OnLost::Ignore {
            let runner = Ident::new(&format!("{runner}_to_end"), ours());
            return quote_spanned!(ours()=> #private::#runner(__dlock_held, #body)#dot_await);
        }
        let is_err = self.is_err();
        self.or_failed(&quote_spanned!(ours()=>
            #private::#runner(__dlock_held, #body, #is_err)#dot_await
        ))
    }

    /// The value, or what the call returns instead of it.
    pub(super) fn or_failed(&self, result: &TokenStream) -> TokenStream {
        self.or_else(result, &self.failed())
    }

    fn or_else(&self, result: &TokenStream, other: &TokenStream) -> TokenStream {
        quote_spanned!(ours()=> match #result {
            ::core::result::Result::Ok(__dlock_output) => __dlock_output,
            ::core::result::Result::Err(__dlock_error) => #other,
        })
    }

    /// The body's own error goes before that of the lock. Seen by its type and not by a trait that
    /// it must have, for that would blame one missing trait at two places.
    pub(super) fn is_err(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        quote_spanned!(ours()=> |__dlock_output| {
            use #private::OtherOutput as _;
            #private::Output(__dlock_output).is_err()
        })
    }

    /// The user's braces.
    pub(super) fn block(&self) -> Group {
        // A block inside a block: lints about needless braces are to leave it alone.
        let mut body = self.function.body.clone();
        body.set_span(body.span().resolved_at(ours()));
        body
    }

    /// The user's body as something that can be run.
    pub(super) fn body(&self) -> TokenStream {
        let returns = &self.returns;
        let body = self.block();
        let kept = self.kept();
        let guard = self.args.guard.as_ref().map(
            |(mutability, name)| quote_spanned!(ours()=> let #mutability #name = __dlock_guard;),
        );
        match &self.function.shape {
            Shape::Sync => quote_spanned!(ours()=> move || -> #returns { #kept #guard #body }),
            Shape::Async | Shape::Boxed(_) => {
                let inferred = self.inferred();
                quote_spanned!(ours()=> async move { #inferred #kept #guard #body })
            }
        }
    }

    /// The type of an async block cannot be written down; a return that is never reached says it,
    /// so that the body is checked against it and not the other way round.
    fn inferred(&self) -> Option<TokenStream> {
        let Expansion { private, returns, .. } = self;
        if let Some(Type::Never(_)) = self.function.returns() {
            return None;
        }
        // "Return type inferred to be this here": at the return type.
        let at = ours().located_at(self.function.returns_span());
        let private = types::located_at(private.clone(), at);
        Some(quote_spanned!(at=> if false { return #private::never::<#returns>(); }))
    }

    fn is_connection(&self, name: &str) -> bool {
        self.args.connection.as_ref().is_some_and(|connection| connection.name == name)
    }

    /// Parameters that the body may not use, and that it owns all the same: moved into it, they
    /// are dropped under the lock. Those are the ones whose name begins with `_` and those that
    /// the key names, and a connection that is locked on; any other unused parameter is for the compiler to warn of.
    fn kept(&self) -> TokenStream {
        let in_key = |name: &str| {
            self.is_connection(name)
                || self.args.keys().any(|key| match key {
                    Key::Template(template, _) => {
                        template.values().any(|value| value.root.trim_start_matches("r#") == name)
                    }
                    Key::Expr(_) => false,
                })
        };
        let names = self.function.names.iter();
        let kept = names.filter(|name| name.text.starts_with('_') || in_key(&name.text));
        kept.map(|name| {
            let (ident, cfg) = (&name.ident, &name.cfg);
            quote_spanned!(ours()=>
                #cfg
                #[allow(clippy::used_underscore_binding)]
                let _ = &#ident;
            )
        })
        .collect()
    }
}
