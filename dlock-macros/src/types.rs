//! Changes to tokens that are emitted again.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};

/// A type with `_` for every `impl Trait`, which can only be written in a signature.
pub(crate) fn without_impl(ty: TokenStream) -> TokenStream {
    let mut tokens = ty.into_iter().peekable();
    let mut out = TokenStream::new();
    while let Some(token) = tokens.next() {
        let token = match token {
            TokenTree::Ident(ident) if ident == "impl" => {
                // Its bounds end at a comma or bracket that is not theirs.
                let mut bounds = Bounds::default();
                while tokens.next_if(|token| bounds.contain(token)).is_some() {}
                Ident::new("_", ident.span()).into()
            }
            TokenTree::Group(group) => regroup(&group, without_impl(group.stream())),
            other => other,
        };
        out.extend([token]);
    }
    out
}

/// Whether the tokens behind an `impl` still belong to it.
#[derive(Default)]
struct Bounds {
    depth: usize,
    /// The `-` of `->` was last.
    arrow: bool,
}

impl Bounds {
    fn contain(&mut self, token: &TokenTree) -> bool {
        let punct = match token {
            TokenTree::Punct(punct) => punct.as_char(),
            _ => ' ',
        };
        match punct {
            ',' if self.depth == 0 => return false,
            '>' if self.arrow => {}
            '>' if self.depth == 0 => return false,
            '>' => self.depth -= 1,
            '<' => self.depth += 1,
            _ => {}
        }
        self.arrow = punct == '-';
        true
    }
}

/// The same names, at another place: that is where the compiler points.
pub(crate) fn located_at(tokens: TokenStream, place: Span) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| {
            let mut token = match token {
                TokenTree::Group(group) => regroup(&group, located_at(group.stream(), place)),
                other => other,
            };
            token.set_span(token.span().located_at(place));
            token
        })
        .collect()
}

/// An expression with another name for `self`.
pub(crate) fn with_self(tokens: TokenStream, this: &Ident) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(ident) if ident == "self" => {
                let mut this = this.clone();
                this.set_span(this.span().located_at(ident.span()));
                this.into()
            }
            TokenTree::Group(group) => regroup(&group, with_self(group.stream(), this)),
            other => other,
        })
        .collect()
}

fn regroup(group: &Group, stream: TokenStream) -> TokenTree {
    let mut new = Group::new(group.delimiter(), stream);
    new.set_span(group.span());
    new.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impl_becomes_an_underscore() {
        for (ty, expected) in [
            ("Result<impl Iterator<Item = Vec<u8>> + 'a, E>", "Result<_, E>"),
            ("impl Display", "_"),
            ("(u8, impl Fn(u8) -> Vec<u8>, u8)", "(u8, _, u8)"),
            ("Box<dyn Fn() -> u8>", "Box<dyn Fn() -> u8>"),
        ] {
            let parse = |text: &str| text.parse::<TokenStream>().map(|it| it.to_string()).ok();
            let found = ty.parse().ok().map(|ty| without_impl(ty).to_string());
            assert_eq!(found, parse(expected), "{ty}");
        }
    }
}
