//! The lock to take: where from, of what key, waiting how long.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;

use super::{Expansion, ours};
use crate::duration::Timeout;
use crate::key::{self, Key};
use crate::template::{Part, Step, Template};
use crate::types;

impl Expansion<'_> {
    pub(super) fn lock(&self) -> TokenStream {
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
