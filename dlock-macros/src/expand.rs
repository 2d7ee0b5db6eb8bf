//! The function as it comes out. Little code: whatever can be is in `dlock::__private`.
//!
//! ```text
//! async fn rename(id: i64, name: String) -> Result<(), AppError> {
//!     let lock = __private::lock("default", __private::key(format_args!("user:{}", id)))
//!         .timeout(Duration::new(10, 0));
//!     let body = async move { /* the body */ };
//!     __private::run_or_error(lock, OnLoss::Cancel, body, __private::room::<Result<(), AppError>>()).await
//! }
//! ```
//!
//! Where `on_busy` or `on_error` say what to return, it is `run_with_fallback`, and a `match` of what comes of it;
//! where something of the user's stands between lock and body, `enter`, and after that `run`.
//!
//! The arguments are evaluated in a statement of their own, before the body moves anything and
//! without keeping temporaries over the first await. The body is an `async move` block or a `move`
//! closure of its own, so `return` and `?` in it end the body and not the lock.

mod body;
mod connection;
mod lock;
mod output;

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Expr, Token};

use crate::args::{Args, Connection, Kind, OnLost};
use crate::function::Function;
use crate::shape::Shape;
use crate::types;

/// Everything that is emitted has this span: the user's code cannot name our locals, ours cannot
/// meet theirs.
fn ours() -> Span {
    Span::mixed_site()
}

pub(crate) fn expand(args: &Args, mut function: Function) -> TokenStream {
    // The body gets the connection in a binding of its own, and the parameter needs no `mut`.
    let mutability = match &args.connection {
        Some(Connection { kind: Kind::On, name }) => function.take_mut(&name.to_string()),
        _ => None,
    };
    let locked = Expansion::new(args, &function, mutability).statements();
    let Function { attrs, vis, sig, shape, body, .. } = function;
    let place = body.span();
    let body = match shape {
        Shape::Async | Shape::Sync => locked,
        Shape::Boxed(boxed) => {
            let (path, before, after) = (boxed.path, boxed.before, boxed.after);
            quote_spanned!(ours()=> #path(async move { #before { #locked } #after }))
        }
    };
    // With the braces of the user, the function as a whole is the user's: lints for it stay on.
    let mut braces = Group::new(Delimiter::Brace, body);
    braces.set_span(place);
    quote!(#(#attrs)* #vis #sig #braces)
}

struct Expansion<'a> {
    args: &'a Args,
    function: &'a Function,
    /// `::dlock::__private`
    private: TokenStream,
    /// What the function returns, with `_` for every `impl Trait`.
    returns: TokenStream,
    /// That of the parameter of `on`.
    mutability: Option<Token![mut]>,
}

impl<'a> Expansion<'a> {
    fn new(args: &'a Args, function: &'a Function, mutability: Option<Token![mut]>) -> Self {
        let private = match &args.krate {
            Some(path) => quote_spanned!(ours()=> #path::__private),
            None => quote_spanned!(ours()=> ::dlock::__private),
        };
        let returns = match function.returns() {
            Some(ty) => types::without_impl(ty.to_token_stream()),
            None => {
                let unit = quote!(());
                types::located_at(unit, function.returns_span())
            }
        };
        Expansion { args, function, private, returns, mutability }
    }

    fn is_async(&self) -> bool {
        !matches!(self.function.shape, Shape::Sync)
    }

    fn on_lost(&self) -> OnLost {
        let default = if self.is_async() { OnLost::Cancel } else { OnLost::Report };
        self.args.on_lost.map_or(default, |(on_lost, _)| on_lost)
    }

    fn statements(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        if let Some(connection) = &self.args.connection {
            return self.on_connection(connection);
        }
        let lock = self.lock();
        let on_loss = match self.on_lost() {
            OnLost::Cancel => quote_spanned!(ours()=> #private::OnLoss::Cancel),
            OnLost::Report => quote_spanned!(ours()=> #private::OnLoss::Report),
            OnLost::Ignore => quote_spanned!(ours()=> #private::OnLoss::Ignore),
        };
        if let Some(run_with_fallback) = self.run_with_fallback(&on_loss) {
            return quote_spanned!(ours()=> let __dlock_lock = #lock; #run_with_fallback);
        }
        let enter = if self.is_async() {
            quote_spanned!(ours()=> #private::enter(__dlock_lock, #on_loss).await)
        } else {
            quote_spanned!(ours()=> #private::enter_blocking(__dlock_lock, #on_loss))
        };
        let (guard, guarded) = match &self.args.guard {
            Some(_) => (
                quote_spanned!(ours()=> (__dlock_held, __dlock_guard)),
                quote_spanned!(ours()=> #private::guarded(#enter)),
            ),
            None => (quote_spanned!(ours()=> __dlock_held), enter),
        };
        let not_entered = self.not_entered();
        let run = self.run();
        quote_spanned!(ours()=>
            let __dlock_lock = #lock;
            let #guard = match #guarded {
                ::core::result::Result::Ok(__dlock_held) => __dlock_held,
                ::core::result::Result::Err(__dlock_error) => return #not_entered,
            };
            #run
        )
    }

    /// The user's expression, as it stands; where `self` goes by another name, with that.
    fn users(&self, value: &Expr) -> TokenStream {
        match self.function.name("self") {
            Some(this) if this != "self" => types::with_self(value.to_token_stream(), this),
            _ => value.to_token_stream(),
        }
    }
}
