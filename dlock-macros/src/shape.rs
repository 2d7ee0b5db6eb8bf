//! The forms of a function body: whose code it is, and where the lock goes around it.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use syn::{
    Block, GenericArgument, Local, Pat, PathArguments, ReturnType, Stmt, Token, Type,
    TypeParamBound,
};

/// Where the code that runs under the lock is.
pub(crate) enum Shape {
    /// The body of an `async fn`.
    Async,
    /// The body of a `fn`.
    Sync,
    /// What `#[async_trait]` makes of an `async fn`: a `fn` that returns a boxed future. It runs
    /// before any attribute on the method, so this is all we get to see.
    Boxed(Boxed),
}

/// `Box::pin(async move { before… { body } after… })`
pub(crate) struct Boxed {
    /// `Box::pin`
    pub(crate) path: TokenStream,
    /// Its own bindings: `let __self = self; let (a, b) = __arg1; let __ret: Ret =`.
    pub(crate) before: TokenStream,
    /// `; __ret`
    pub(crate) after: TokenStream,
}

/// A boxed `async move` block as the whole of a body: what is around the user's block, and it.
pub(crate) fn boxed(body: &Group) -> Option<(Boxed, Group)> {
    let tokens: Vec<TokenTree> = body.stream().into_iter().collect();
    let (TokenTree::Group(argument), path) = tokens.split_last()? else {
        return None;
    };
    let is_box_pin = path.iter().map(ToString::to_string).eq(["Box", ":", ":", "pin"]);
    if !is_box_pin || argument.delimiter() != Delimiter::Parenthesis {
        return None;
    }
    let argument: Vec<TokenTree> = argument.stream().into_iter().collect();
    let [TokenTree::Ident(a), TokenTree::Ident(b), TokenTree::Group(block)] = &argument[..] else {
        return None;
    };
    if a != "async" || b != "move" || block.delimiter() != Delimiter::Brace {
        return None;
    }
    let path = path.iter().cloned().collect();
    let inside: Vec<TokenTree> = block.stream().into_iter().collect();
    let (before, body, after) = match user_block(&inside) {
        Some((at, user)) => (&inside[..at], user.clone(), &inside[at + 1..]),
        None => (&inside[..0], block.clone(), &inside[..0]),
    };
    let [before, after] = [before, after].map(|part| part.iter().cloned().collect());
    Some((Boxed { path, before, after }, body))
}

/// The block at the end of `…= { user };` or `…= { user }; #[allow(…)] __ret`.
fn user_block(tokens: &[TokenTree]) -> Option<(usize, &Group)> {
    let is = |token: Option<&TokenTree>, punct: char| matches!(token, Some(TokenTree::Punct(it)) if it.as_char() == punct);
    let at = tokens.iter().rposition(|token| is(Some(token), ';'))?.checked_sub(1)?;
    let at_end = tokens.len() == at + 2 || is(tokens.get(at + 2), '#');
    match (&tokens[at], at.checked_sub(1)) {
        (TokenTree::Group(group), Some(before))
            if at_end && group.delimiter() == Delimiter::Brace && is(tokens.get(before), '=') =>
        {
            Some((at, group))
        }
        _ => None,
    }
}

impl Boxed {
    /// Takes away the `mut` of the binding of this name.
    pub(crate) fn take_mut(&mut self, name: &str) -> Option<Token![mut]> {
        let mut tokens: Vec<TokenTree> = self.before.clone().into_iter().collect();
        let is = |token: &TokenTree, text| matches!(token, TokenTree::Ident(it) if it == text);
        let at = tokens.windows(2).position(|pair| is(&pair[0], "mut") && is(&pair[1], name))?;
        let span = tokens.remove(at).span();
        self.before = tokens.into_iter().collect();
        Some(Token![mut](span))
    }

    /// The names its own bindings bind, `__self` among them.
    pub(crate) fn names(&self) -> Vec<Ident> {
        // Completed to statements: what is left out is the user's block behind the last `=`.
        let before = &self.before;
        let whole = quote::quote!(#before (););
        let statements = syn::parse::Parser::parse2(Block::parse_within, whole).unwrap_or_default();
        let mut names = Vec::new();
        for statement in statements {
            if let Stmt::Local(Local { pat, .. }) = &statement {
                bound(pat, &mut names);
            }
        }
        names.retain(|name| name != "__ret");
        names
    }
}

/// The names a pattern binds.
pub(crate) fn bound(pat: &Pat, names: &mut Vec<Ident>) {
    let mut all = |pats: &mut dyn Iterator<Item = &Pat>| pats.for_each(|pat| bound(pat, names));
    match pat {
        Pat::Tuple(tuple) => all(&mut tuple.elems.iter()),
        Pat::TupleStruct(tuple) => all(&mut tuple.elems.iter()),
        Pat::Struct(fields) => all(&mut fields.fields.iter().map(|field| &*field.pat)),
        Pat::Slice(slice) => all(&mut slice.elems.iter()),
        Pat::Or(or) => all(&mut or.cases.iter().take(1)),
        Pat::Paren(paren) => bound(&paren.pat, names),
        Pat::Reference(reference) => bound(&reference.pat, names),
        Pat::Type(typed) => bound(&typed.pat, names),
        Pat::Ident(ident) => {
            if let Some((_, rest)) = &ident.subpat {
                bound(rest, names);
            }
            names.push(ident.ident.clone());
        }
        _ => {}
    }
}

/// What a future returned by a plain `fn` comes to, where its type says that it is one.
pub(crate) fn future_output(output: &ReturnType) -> Option<Option<&Type>> {
    let ReturnType::Type(_, ty) = output else {
        return None;
    };
    output_of(ty)
}

fn output_of(ty: &Type) -> Option<Option<&Type>> {
    let bounds = match ty {
        Type::ImplTrait(ty) => &ty.bounds,
        Type::TraitObject(ty) => &ty.bounds,
        Type::Paren(ty) => return output_of(&ty.elem),
        Type::Group(ty) => return output_of(&ty.elem),
        Type::Path(ty) => {
            let last = ty.path.segments.last()?;
            let mut arguments = match &last.arguments {
                PathArguments::AngleBracketed(arguments) => Some(arguments.args.iter()),
                _ => None,
            }
            .into_iter()
            .flatten()
            .filter_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            });
            return match last.ident.to_string().as_str() {
                "Pin" | "Box" => output_of(arguments.next()?),
                "BoxFuture" | "LocalBoxFuture" => Some(arguments.next()),
                _ => None,
            };
        }
        _ => return None,
    };
    bounds.iter().find_map(|bound| {
        let TypeParamBound::Trait(bound) = bound else {
            return None;
        };
        let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
        let PathArguments::AngleBracketed(arguments) = &last.arguments else {
            return Some(None);
        };
        Some(arguments.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(output) if output.ident == "Output" => Some(&output.ty),
            _ => None,
        }))
    })
}
