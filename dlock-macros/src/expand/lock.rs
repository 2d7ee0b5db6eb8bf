//! The lock to take: where from, of what key, waiting how long.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;

use super::{Expansion, ours};
use crate::args::{Term, Value};
use crate::duration::Timeout;
use crate::key::{self, Key, Keys};
use crate::template::{Part, Step, Template};
use crate::types;

impl Expansion<'_> {
    pub(super) fn lock(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        let lock = if self.args.connection.is_some() { self.own() } else { self.of_locker() };
        let timeout = self.args.timeout.as_ref().map(|timeout| {
            let timeout = self.time(timeout, &quote_spanned!(ours()=> #private::Wait::Forever));
            quote_spanned!(ours()=> .timeout(#timeout))
        });
        let terms = self.args.terms.iter().map(|term| self.term(term));
        quote_spanned!(ours()=> #lock #timeout #(#terms)*)
    }

    fn of_locker(&self) -> TokenStream {
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
        match &self.args.keys {
            Some(Keys::Listed(keys)) => {
                let keys = keys.iter().map(|key| {
                    let label = label(key).unwrap_or_default();
                    let key = self.key(key);
                    quote_spanned!(ours()=> (#private::IntoKey::into_key(#key), #label))
                });
                quote_spanned!(ours()=> #private::lock_listed(#locker, [#(#keys),*]))
            }
            Some(Keys::Expr(keys)) => {
                let keys = self.users(keys);
                quote_spanned!(ours()=> #private::lock_all(#locker, #keys))
            }
            None => {
                let (key, label) = (self.one_key(), self.label());
                quote_spanned!(ours()=> #private::lock(#locker, #key) #label)
            }
        }
    }

    /// What all keys of this function are called in metrics: the text of the template, or without a key
    /// the function's own name. An expression has none.
    fn label(&self) -> Option<TokenStream> {
        let label = match &self.args.key {
            Some(key) => label(key)?,
            None => self.function.sig.ident.to_string(),
        };
        Some(quote_spanned!(ours()=> .label(#label)))
    }

    /// For a connection of the caller's own: keys, and nowhere to take them from.
    fn own(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        let keys = match &self.args.keys {
            Some(keys) => self.keys(keys),
            None => {
                let key = self.one_key();
                quote_spanned!(ours()=> [#private::IntoKey::into_key(#key)])
            }
        };
        let label = if self.args.keys.is_none() { self.label() } else { None };
        quote_spanned!(ours()=> #private::own(#keys) #label)
    }

    /// Whatever can be iterated.
    fn keys(&self, keys: &Keys) -> TokenStream {
        let Expansion { private, .. } = self;
        match keys {
            Keys::Listed(keys) => {
                let keys = keys.iter().map(|key| {
                    let key = self.key(key);
                    quote_spanned!(ours()=> #private::IntoKey::into_key(#key))
                });
                quote_spanned!(ours()=> [#(#keys),*])
            }
            Keys::Expr(keys) => self.users(keys),
        }
    }

    fn one_key(&self) -> TokenStream {
        let Expansion { private, .. } = self;
        match &self.args.key {
            Some(key) => self.key(key),
            // Named by the compiler: a nested function's path has the path of the one around it.
            None => {
                // `Self` is known for certain only beside a receiver.
                let path_of = if self.function.sig.receiver().is_some() {
                    quote_spanned!(ours()=> path_of_method::<Self, _>)
                } else {
                    quote_spanned!(ours()=> path_of)
                };
                quote_spanned!(ours()=> #private::#path_of({
                    fn __dlock_here() {}
                    __dlock_here
                }))
            }
        }
    }

    fn key(&self, key: &Key) -> TokenStream {
        match key {
            Key::Template(template, literal) => self.template(template, literal.span()),
            Key::Expr(value) => self.users(value),
        }
    }

    /// A time, and what stands for one that never ends.
    fn time(&self, time: &Timeout, never: &TokenStream) -> TokenStream {
        match time {
            Timeout::Never => never.clone(),
            Timeout::After(time) => {
                let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
                quote_spanned!(ours()=> ::core::time::Duration::new(#seconds, #nanos))
            }
            Timeout::Expr(value) => self.users(value),
        }
    }

    /// A call of the method that the argument is called after.
    fn term(&self, Term { name, value }: &Term) -> TokenStream {
        let Expansion { private, .. } = self;
        let method = Ident::new(&name.to_string(), ours());
        let value = match value {
            Value::Flag => TokenStream::new(),
            Value::Mode(mode, at) => {
                let mode = Ident::new(mode, ours().located_at(*at));
                quote_spanned!(ours()=> #private::Mode::#mode)
            }
            Value::Time(time) => {
                self.time(time, &quote_spanned!(ours()=> ::core::time::Duration::MAX))
            }
            Value::Expr(value) => self.users(value),
        };
        quote_spanned!(ours()=> .#method(#value))
    }

    fn template(&self, template: &Template, at: Span) -> TokenStream {
        match &template.parts[..] {
            [] => return quote_spanned!(ours()=> ""),
            [Part::Text(text)] => return quote_spanned!(ours()=> #text),
            _ => {}
        }
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
}

/// The text of a key's template.
fn label(key: &Key) -> Option<String> {
    match key {
        Key::Template(_, literal) => Some(literal.value()),
        Key::Expr(_) => None,
    }
}
