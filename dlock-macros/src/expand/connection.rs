//! A lock on a connection that is a parameter: `tx`, which the transaction ends, and `on`, around the
//! body.
//!
//! ```text
//! async fn pay(conn: &mut PgConnection, id: i64) -> Result<(), AppError> {
//!     let lock = __private::own([key]);
//!     let mut held = match __private::on(&mut *conn, lock).await { .. };
//!     let output = {
//!         let conn = __private::conn(&mut held);
//!         async move { /* the body */ }.await
//!     };
//!     match __private::off(held, output, |output| /* is it an Err? */).await { .. }
//! }
//! ```

use proc_macro2::{Ident, TokenStream};
use quote::quote_spanned;

use super::{Expansion, ours};
use crate::args::{Connection, Kind};
use crate::types;

impl Expansion<'_> {
    pub(super) fn on_connection(&self, connection: &Connection) -> TokenStream {
        let lock = self.lock();
        let run = match connection.kind {
            Kind::Tx => self.within(connection),
            Kind::On => self.on(connection),
        };
        quote_spanned!(ours()=> let __dlock_lock = #lock; #run)
    }

    /// There is nothing to do after the body, so it stands there as it is.
    fn within(&self, connection: &Connection) -> TokenStream {
        let within = self.take(connection, "within");
        let not_entered = self.not_entered();
        let body = self.block();
        quote_spanned!(ours()=>
            if let ::core::result::Result::Err(__dlock_error) = #within {
                return #not_entered;
            }
            #body
        )
    }

    fn on(&self, connection: &Connection) -> TokenStream {
        let at = ours().located_at(connection.name.span());
        let private = types::located_at(self.private.clone(), at);
        let lent = quote_spanned!(at=> #private::conn(&mut __dlock_held));
        let (on, warn) = (self.take(connection, "on"), self.warn(connection));
        let not_entered = self.not_entered();
        let (mutability, name) = (&self.mutability, self.parameter(connection));
        let (body, is_err) = (self.body(), self.is_err());
        let end = self.or_failed(&quote_spanned!(at=>
            #private::off(__dlock_held, __dlock_output, #is_err).await
        ));
        quote_spanned!(ours()=>
            #warn
            let mut __dlock_held = match #on {
                ::core::result::Result::Ok(__dlock_held) => __dlock_held,
                ::core::result::Result::Err(__dlock_error) => return #not_entered,
            };
            let __dlock_output = {
                #[allow(clippy::shadow_reuse, clippy::shadow_same, clippy::shadow_unrelated)]
                let #mutability #name = #lent;
                #body.await
            };
            #end
        )
    }

    /// What is asked of the connection. Every token lies where the attribute has its name, for that
    /// is to blame when it is none. A reference is borrowed again, which takes no `mut` binding.
    fn take(&self, connection: &Connection, what: &str) -> TokenStream {
        let at = connection.name.span();
        let mut name = self.parameter(connection);
        if let Some(name) = &mut name {
            name.set_span(name.span().located_at(at));
        }
        let at = ours().located_at(at);
        let private = types::located_at(self.private.clone(), at);
        let what = Ident::new(what, at);
        let star = self
            .function
            .is_mut_reference(&connection.name.to_string())
            .then(|| quote_spanned!(at=> *));
        quote_spanned!(at=> #private::#what(&mut #star #name, __dlock_lock).await)
    }

    /// Where a lock that is dropped in the middle of a statement can't be given back, the compiler
    /// says so: a method of these types is deprecated, that of all others is not.
    fn warn(&self, connection: &Connection) -> TokenStream {
        let at = ours().located_at(connection.name.span());
        let private = types::located_at(self.private.clone(), at);
        let mut name = self.parameter(connection);
        if let Some(name) = &mut name {
            name.set_span(name.span().located_at(at));
        }
        let star = self
            .function
            .is_mut_reference(&connection.name.to_string())
            .then(|| quote_spanned!(at=> *));
        quote_spanned!(at=> {
            #[allow(unused_imports)]
            use #private::AnyConnection as _;
            #private::GivesBack::of(&#star #name).after_a_drop();
        })
    }

    /// The user's own token.
    fn parameter(&self, connection: &Connection) -> Option<Ident> {
        self.function.name(&connection.name.to_string()).cloned()
    }
}
