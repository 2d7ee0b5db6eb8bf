//! The function as it comes out. Little code: whatever can be is in `dlock::__private`.
//!
//! ```text
//! async fn rename(id: i64, name: String) -> Result<(), AppError> {
//!     let lock = __private::lock("default", __private::key(format_args!("user:{}", id)))
//!         .timeout(Duration::new(10, 0));
//!     let held = match __private::enter(lock, OnLoss::Cancel).await {
//!         Ok(held) => held,
//!         Err(error) => return __private::failed::<Result<(), AppError>>(error),
//!     };
//!     match __private::run(held, async move { /* the body */ }, |output| /* is it an Err? */).await {
//!         Ok(output) => output,
//!         Err(error) => return __private::failed::<Result<(), AppError>>(error),
//!     }
//! }
//! ```
//!
//! The arguments are evaluated in a statement of their own, before the body moves anything and
//! without keeping temporaries over the first await. The body is an `async move` block or a `move`
//! closure of its own, so `return` and `?` in it end the body and not the lock.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Type};

use crate::args::{Args, OnBusy, OnLost, Release};
use crate::duration::Timeout;
use crate::function::Function;
use crate::key::{self, Key};
use crate::shape::Shape;
use crate::template::{Part, Step, Template};
use crate::types;

/// Everything that is emitted has this span: the user's code cannot name our locals, ours cannot
/// meet theirs.
fn ours() -> Span {
    Span::mixed_site()
}

pub(crate) fn expand(args: &Args, function: Function) -> TokenStream {
    let locked = Expansion::new(args, &function).statements();
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
}

impl<'a> Expansion<'a> {
    fn new(args: &'a Args, function: &'a Function) -> Self {
        let private = match &args.krate {
            Some(path) => quote_spanned!(ours()=> #path::__private),
            None => quote_spanned!(ours()=> ::dlock::__private),
        };
        let returns = match &function.returns {
            Some(ty) => types::without_impl(ty.to_token_stream()),
            None => {
                let unit = quote!(());
                types::located_at(unit, function.returns_span())
            }
        };
        Expansion { args, function, private, returns }
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
        let lock = self.lock();
        let on_loss = match self.on_lost() {
            OnLost::Cancel => quote_spanned!(ours()=> #private::OnLoss::Cancel),
            OnLost::Report => quote_spanned!(ours()=> #private::OnLoss::Report),
            OnLost::Ignore => quote_spanned!(ours()=> #private::OnLoss::Ignore),
        };
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

    fn lock(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        let locker = match &self.args.locker {
            // Borrowed, so that a field of a parameter can be named; and where the user wrote it,
            // so that the compiler points there.
            Some(locker) => {
                let value = self.users(locker);
                quote_spanned!(locker.span()=> &#value)
            }
            None => quote_spanned!(ours()=> "default"),
        };
        let key = match &self.args.key {
            Some(Key::Template(template, literal)) => self.template(template, literal.span()),
            Some(Key::Expr(value)) => self.users(value),
            // Named by the compiler: a nested function's path has the path of the one around it.
            None => quote_spanned!(ours()=> #private::path_of({
                fn __dlock_here() {}
                __dlock_here
            })),
        };
        let timeout = match &self.args.timeout {
            None => return quote_spanned!(ours()=> #private::lock(#locker, #key)),
            Some(Timeout::Never) => quote_spanned!(ours()=> #private::Wait::Forever),
            Some(Timeout::After(time)) => {
                let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
                quote_spanned!(ours()=> ::core::time::Duration::new(#seconds, #nanos))
            }
            Some(Timeout::Expr(value)) => self.users(value),
        };
        quote_spanned!(ours()=> #private::lock(#locker, #key).timeout(#timeout))
    }

    fn template(&self, template: &Template, at: Span) -> TokenStream {
        let private = types::located_at(self.private.clone(), at);
        let here = ours().located_at(at);
        let mut format = String::new();
        let mut values = Vec::new();
        for (index, part) in template.parts.iter().enumerate() {
            let value = match part {
                Part::Text(text) => {
                    format.push_str(&text.replace('{', "{{").replace('}', "}}"));
                    continue;
                }
                Part::Value(value) => value,
            };
            let spec = match value.spec.as_str() {
                "" => "{}".to_owned(),
                spec => format!("{{:{spec}}}"),
            };
            let place = self.place(&value.root, &value.path, at);
            match template.stop(index) {
                None => {
                    format.push_str(&spec);
                    values.push(place);
                }
                Some(stop) => {
                    format.push_str("{}");
                    let shown = match value.spec.as_str() {
                        "" => place,
                        _ => quote_spanned!(here=> ::core::format_args!(#spec, #place)),
                    };
                    values.push(quote_spanned!(here=> #private::part(#stop, &#shown)));
                }
            }
        }
        if values.is_empty() {
            let text: String = template
                .parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.as_str(),
                    Part::Value(_) => "",
                })
                .collect();
            return quote_spanned!(ours()=> #text);
        }
        quote_spanned!(ours()=> #private::key(::core::format_args!(#format, #(#values),*)))
    }

    /// `req.user.id`, with the parameter's own token, so that it is the parameter that is meant,
    /// and the literal's place, so that the literal is blamed.
    fn place(&self, root: &str, path: &[Step], at: Span) -> TokenStream {
        let mut place = TokenStream::new();
        if let Some(ident) = self.function.name(root) {
            let mut ident = ident.clone();
            ident.set_span(ident.span().located_at(at));
            ident.to_tokens(&mut place);
        }
        let at = ours().located_at(at);
        for step in path {
            place.extend(match step {
                Step::Field(name) => {
                    let name = key::ident(name, at);
                    quote_spanned!(at=> .#name)
                }
                Step::Index(index) => {
                    let index = syn::Index { index: *index, span: at };
                    quote_spanned!(at=> .#index)
                }
                Step::Call(name) => {
                    let name = key::ident(name, at);
                    quote_spanned!(at=> .#name())
                }
            });
        }
        place
    }

    /// The user's expression, as it stands; where `self` goes by another name, with that.
    fn users(&self, value: &Expr) -> TokenStream {
        match self.function.name("self") {
            Some(this) if this != "self" => types::with_self(value.to_token_stream(), this),
            _ => value.to_token_stream(),
        }
    }

    /// What the call returns when there is no lock. In this order, the two ends of `if` have the
    /// return type, and each is blamed for itself.
    fn not_entered(&self) -> TokenStream {
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
    fn failed(&self) -> TokenStream {
        let Expansion { private, returns, .. } = self;
        match &self.args.on_error {
            None => self.carried(),
            Some(handler) => {
                let handler = self.users(handler);
                quote_spanned!(ours()=> #private::on_error::<#returns>(__dlock_error, #handler))
            }
        }
    }

    /// The error inside the return type. Every token lies on the return type, which is to blame if
    /// it has no room for it.
    fn carried(&self) -> TokenStream {
        let Expansion { private, returns, .. } = self;
        let at = ours().located_at(self.function.returns_span());
        let private = types::located_at(private.clone(), at);
        quote_spanned!(at=> #private::failed::<#returns>(__dlock_error))
    }

    fn run(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        let body = self.body();
        let background = self.args.release == Release::Background;
        let (runner, dot_await) = match (self.is_async(), background) {
            (true, false) => ("run", quote_spanned!(ours()=> .await)),
            (true, true) => ("run_background", quote_spanned!(ours()=> .await)),
            (false, false) => ("run_blocking", TokenStream::new()),
            (false, true) => ("run_blocking_background", TokenStream::new()),
        };
        if self.on_lost() == OnLost::Ignore {
            let runner = Ident::new(&format!("{runner}_to_end"), ours());
            return quote_spanned!(ours()=> #private::#runner(__dlock_held, #body)#dot_await);
        }
        let runner = Ident::new(runner, ours());
        // The body's own error goes before that of the lock. Seen by its type and not by a trait
        // that it must have, for that would blame one missing trait at two places.
        let is_err = quote_spanned!(ours()=> |__dlock_output| {
            use #private::OtherOutput as _;
            #private::Output(__dlock_output).is_err()
        });
        let failed = self.failed();
        quote_spanned!(ours()=>
            match #private::#runner(__dlock_held, #body, #is_err)#dot_await {
                ::core::result::Result::Ok(__dlock_output) => __dlock_output,
                ::core::result::Result::Err(__dlock_error) => #failed,
            }
        )
    }

    fn body(&self) -> TokenStream {
        let Expansion { private, returns, .. } = self;
        // A block inside a block: lints about needless braces are to leave it alone.
        let mut body = self.function.body.clone();
        body.set_span(body.span().resolved_at(ours()));
        let kept = self.kept();
        let guard = self.args.guard.as_ref().map(
            |(mutability, name)| quote_spanned!(ours()=> let #mutability #name = __dlock_guard;),
        );
        let never = matches!(self.function.returns, Some(Type::Never(_)));
        match (self.is_async(), never) {
            // The type of an async block cannot be written down; a return that is never reached
            // says it, so that the body is checked against it and not the other way round.
            (true, false) => quote_spanned!(ours()=> async move {
                if false {
                    return #private::never::<#returns>();
                }
                #kept #guard #body
            }),
            (true, true) => quote_spanned!(ours()=> async move { #kept #guard #body }),
            (false, _) => quote_spanned!(ours()=> move || -> #returns { #kept #guard #body }),
        }
    }

    /// Parameters that the body may not use, and that it owns all the same: moved into it, they
    /// are dropped under the lock. Those are the ones whose name begins with `_` and those that
    /// the key names; any other unused parameter is for the compiler to warn of.
    fn kept(&self) -> TokenStream {
        let in_key = |name: &str| match &self.args.key {
            Some(Key::Template(template, _)) => {
                template.values().any(|value| value.root.trim_start_matches("r#") == name)
            }
            _ => false,
        };
        let names = &self.function.names;
        let kept = names.iter().filter(|(name, _)| name.starts_with('_') || in_key(name));
        kept.map(|(_, ident)| {
            quote_spanned!(ours()=>
                #[allow(clippy::used_underscore_binding)]
                let _ = &#ident;
            )
        })
        .collect()
    }
}
