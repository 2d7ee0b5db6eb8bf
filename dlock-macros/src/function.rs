//! The item under the attribute: a signature that is understood, and a body that is not looked at.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, Pat, PatType, ReturnType, Signature, Token, Type, Visibility};

use crate::shape::{self, Shape};

pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) shape: Shape,
    /// What the user wrote between braces, braces included. Never parsed: it may be half-typed,
    /// and it costs nothing.
    pub(crate) body: Group,
    pub(crate) names: Vec<Name>,
}

/// A name that the parameters bind.
pub(crate) struct Name {
    pub(crate) text: String,
    /// The user's own token: in a `macro_rules!` function another token of the same text is
    /// another variable.
    pub(crate) ident: Ident,
    /// `#[cfg(..)]`: it may not be there.
    pub(crate) cfg: TokenStream,
}

impl Function {
    /// The parameter of this name.
    pub(crate) fn name(&self, name: &str) -> Option<&Ident> {
        let name = name.trim_start_matches("r#");
        self.names.iter().find(|known| known.text == name).map(|known| &known.ident)
    }

    /// Whether the type of the parameter of this name is written as `&mut ..`.
    pub(crate) fn is_mut_reference(&self, name: &str) -> bool {
        self.sig.inputs.iter().any(|input| match input {
            FnArg::Typed(PatType { pat, ty, .. }) => is_named(pat, name) && is_mut(ty),
            FnArg::Receiver(_) => false,
        })
    }

    /// Takes away the `mut` of the parameter of this name.
    pub(crate) fn take_mut(&mut self, name: &str) -> Option<Token![mut]> {
        let of_input = |input: &mut FnArg| match input {
            FnArg::Typed(it) if is_named(&it.pat, name) => match &mut *it.pat {
                Pat::Ident(ident) => ident.mutability.take(),
                _ => None,
            },
            _ => None,
        };
        let of_inputs = self.sig.inputs.iter_mut().find_map(of_input);
        match &mut self.shape {
            Shape::Boxed(boxed) => boxed.take_mut(name).or(of_inputs),
            Shape::Async | Shape::Sync => of_inputs,
        }
    }

    /// Where to point when the return type is to blame.
    pub(crate) fn returns_span(&self) -> Span {
        self.returns().map_or_else(|| self.sig.ident.span(), Spanned::span)
    }

    /// What the user's body returns. None is `()`.
    pub(crate) fn returns(&self) -> Option<&Type> {
        match (&self.shape, &self.sig.output) {
            (Shape::Boxed(_), output) => shape::future_output(output)
                .flatten()
                .filter(|output| !matches!(output, Type::Tuple(tuple) if tuple.elems.is_empty())),
            (_, ReturnType::Type(_, ty)) => Some(ty),
            (_, ReturnType::Default) => None,
        }
    }
}

fn is_named(pat: &Pat, name: &str) -> bool {
    matches!(pat, Pat::Ident(ident) if ident.ident.unraw() == name.trim_start_matches("r#"))
}

/// Also inside the invisible group that `macro_rules!` leaves around `$ty:ty`.
fn is_mut(ty: &Type) -> bool {
    match ty {
        Type::Group(ty) => is_mut(&ty.elem),
        Type::Paren(ty) => is_mut(&ty.elem),
        Type::Reference(ty) => ty.mutability.is_some(),
        _ => false,
    }
}

pub(crate) fn parse(item: TokenStream) -> syn::Result<Function> {
    parse_function.parse2(item)
}

fn parse_function(input: ParseStream<'_>) -> syn::Result<Function> {
    let mut attrs = input.call(Attribute::parse_outer)?;
    let vis: Visibility = input.parse()?;
    if let Some(what) = not_a_function(input) {
        return Err(input.error(what));
    }
    let sig: Signature = input.parse()?;
    let Some(body) = body(input)? else {
        return Err(syn::Error::new_spanned(
            &sig,
            "`#[locked]` runs a body, and this function has none; put it on the functions that \
             implement this one",
        ));
    };
    let (shape, body) = shape(&sig, body)?;
    let (inner, body) = hoist(body);
    attrs.extend(inner);
    let names = names(&sig, &shape);
    Ok(Function { attrs, vis, sig, shape, body, names })
}

fn not_a_function(input: ParseStream<'_>) -> Option<&'static str> {
    let ahead = input.fork();
    while ahead.peek(Token![const])
        || ahead.peek(Token![async])
        || ahead.peek(Token![unsafe])
        || ahead.peek(Token![extern])
    {
        let _ = ahead.parse::<TokenTree>();
        let _ = ahead.parse::<Option<syn::LitStr>>();
    }
    if ahead.peek(Token![fn]) {
        None
    } else if ahead.peek(Token![impl]) || ahead.peek(Token![trait]) {
        Some("`#[locked]` goes on a function; put it on the methods it is meant for")
    } else {
        Some("`#[locked]` goes on a function")
    }
}

/// The body, also where `macro_rules!` has wrapped it in an invisible group (`$body:block`).
fn body(input: ParseStream<'_>) -> syn::Result<Option<Group>> {
    if input.parse::<Option<Token![;]>>()?.is_some() {
        return Ok(None);
    }
    let wrong = || syn::Error::new(input.span(), "expected the function's body");
    match input.parse::<TokenTree>() {
        Ok(TokenTree::Group(group)) => braces(group).map(Some).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn braces(group: Group) -> Option<Group> {
    match group.delimiter() {
        Delimiter::Brace => Some(group),
        Delimiter::None => match group.stream().into_iter().next() {
            Some(TokenTree::Group(inner)) => braces(inner),
            _ => None,
        },
        _ => None,
    }
}

fn shape(sig: &Signature, body: Group) -> syn::Result<(Shape, Group)> {
    if sig.asyncness.is_some() {
        return Ok((Shape::Async, body));
    }
    let Some(output) = shape::future_output(&sig.output) else {
        return Ok((Shape::Sync, body));
    };
    match (shape::boxed(&body), output) {
        (Some((boxed, body)), Some(_)) => Ok((Shape::Boxed(boxed), body)),
        _ => Err(syn::Error::new_spanned(
            &sig.output,
            "this function returns a future without running it, so only its making would be \
             locked; make it an `async fn`",
        )),
    }
}

/// Inner attributes (`#![allow(..)]`) become outer ones: they are meant for the whole function,
/// and would not be at the start of its body any more.
fn hoist(body: Group) -> (Vec<Attribute>, Group) {
    let take = |input: ParseStream<'_>| {
        Ok((input.call(Attribute::parse_inner)?, input.parse::<TokenStream>()?))
    };
    match take.parse2(body.stream()) {
        Ok((mut attrs, rest)) if !attrs.is_empty() => {
            attrs.iter_mut().for_each(|attr| attr.style = syn::AttrStyle::Outer);
            let mut group = Group::new(Delimiter::Brace, rest);
            group.set_span(body.span());
            (attrs, group)
        }
        _ => (Vec::new(), body),
    }
}

fn names(sig: &Signature, shape: &Shape) -> Vec<Name> {
    let named = |ident: Ident, cfg| Name { text: ident.unraw().to_string(), ident, cfg };
    let mut names = Vec::new();
    for input in &sig.inputs {
        match input {
            FnArg::Receiver(it) => {
                names.push(named(Ident::new("self", it.self_token.span()), TokenStream::new()))
            }
            FnArg::Typed(it) => {
                let cfg = it.attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
                let cfg: TokenStream = cfg.map(ToTokens::to_token_stream).collect();
                let mut idents = Vec::new();
                shape::bound(&it.pat, &mut idents);
                names.extend(idents.into_iter().map(|ident| named(ident, cfg.clone())));
            }
        }
    }
    if let Shape::Boxed(boxed) = shape {
        names.retain(|name| !name.text.starts_with("__arg"));
        for ident in boxed.names() {
            match names.iter_mut().find(|name| name.text == "self") {
                Some(this) if ident == "__self" => this.ident = ident,
                _ => names.push(named(ident, TokenStream::new())),
            }
        }
    }
    names
}
