//! What a pure core must not do: read a clock, draw lots, speak to anybody, or know which databases there are.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Attribute, ExprMethodCall, File, Item, Macro, Path};

use crate::imports::{crates_of, is_for_tests};

/// Parts of the standard library that reach out of the process, or read a clock.
const OUTSIDE: &[&str] = &["SystemTime", "env", "fs", "io", "mpsc", "net", "process", "thread"];
/// Crates that a path may name without an import.
const CRATES: &[&str] = &["oracledb", "rustix", "sqlx", "tiberius", "tokio", "tracing"];
/// What has a clock of its own.
const CLOCKS: &[&str] = &["Instant", "Sent", "SystemTime", "Time", "Wall"];

/// What this file does that a core must not do; `crates`: those that it may use.
pub(crate) fn impurities(file: &File, crates: &[&str]) -> BTreeSet<String> {
    let mut found = Found::default();
    found.visit_file(file);
    let foreign = crates_of(file).into_iter();
    let foreign = foreign.filter(|name| name != "std" && !crates.contains(&name.as_str()));
    found.0.extend(foreign.map(|name| format!("the crate {name}")));
    found.0
}

#[derive(Default)]
struct Found(BTreeSet<String>);

impl Found {
    /// Looks at a path, whole: `std::time::Instant::now`.
    fn look_at(&mut self, path: &[String]) {
        let [first, rest @ ..] = path else { return };
        let last = rest.last().unwrap_or(first);
        let owner = rest.len().checked_sub(2).map_or(first, |index| &rest[index]);
        let is_clock = last == "now" && CLOCKS.contains(&owner.as_str());
        let is_outside = first == "std" && rest.iter().any(|name| OUTSIDE.contains(&name.as_str()));
        let is_crate = !rest.is_empty() && CRATES.contains(&first.as_str());
        let is_chance = first == "fastrand" && !rest.is_empty() && rest[0] != "Rng"
            || path.iter().any(|name| name == "random")
            || path.ends_with(&["Rng".to_owned(), "new".to_owned()]);
        if is_clock || is_outside || is_crate || is_chance {
            self.0.insert(path.join("::"));
        }
    }

    fn look_at_tree(&mut self, tree: &syn::UseTree, before: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.look_at_tree(&path.tree, before);
                before.pop();
            }
            syn::UseTree::Name(name) => {
                self.look_at(&[&before[..], &[name.ident.to_string()]].concat());
            }
            syn::UseTree::Rename(name) => {
                self.look_at(&[&before[..], &[name.ident.to_string()]].concat());
            }
            syn::UseTree::Glob(_) => self.look_at(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.look_at_tree(tree, before));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(item) {
            return;
        }
        if let Item::Use(item) = item {
            self.look_at_tree(&item.tree, &mut Vec::new());
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names: Vec<_> = path.segments.iter().map(|name| name.ident.to_string()).collect();
        self.look_at(&names);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "elapsed" {
            self.0.insert(".elapsed()".to_owned());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Ok(list) = attribute.meta.require_list()
            && attribute.path().get_ident().is_some_and(|name| name == "cfg" || name == "cfg_attr")
            && list.tokens.to_string().contains("feature")
        {
            self.0.insert(format!("cfg({})", list.tokens));
        }
        visit::visit_attribute(self, attribute);
    }

    /// What stands in a macro's call is not parsed.
    fn visit_macro(&mut self, call: &'ast Macro) {
        let text = call.tokens.to_string();
        for word in [":: now (", ". elapsed (", "tokio ::", "sqlx ::", "fastrand ::"] {
            if text.contains(word) {
                self.0.insert(format!("a macro with {word}"));
            }
        }
        visit::visit_macro(self, call);
    }
}

#[test]
fn what_is_not_pure_is_found() {
    for (text, expected) in [
        ("use tokio::time::Instant;", "the crate tokio"),
        ("use std::time::{Duration, SystemTime};", "std::time::SystemTime"),
        ("fn f() { let _ = std::time::Instant::now(); }", "std::time::Instant::now"),
        ("fn f() { let _ = Time::now(); }", "Time::now"),
        ("fn f() { let _ = since.elapsed(); }", ".elapsed()"),
        ("fn f() { tokio::spawn(g()); }", "tokio::spawn"),
        ("fn f() { assert!(Instant::now() > a); }", "a macro with :: now ("),
        ("fn f() -> f64 { fastrand::f64() }", "fastrand::f64"),
        ("use crate::random::random;", "crate::random::random"),
        ("#[cfg(feature = \"sqlite\")] fn f() {}", "cfg(feature = \"sqlite\")"),
        ("use std::sync::mpsc;", "std::sync::mpsc"),
    ] {
        let found = impurities(&syn::parse_file(text).unwrap(), &["fastrand"]);
        assert!(found.contains(expected), "{text}: {found:?}");
    }
    let pure = "use std::time::{Duration, Instant}; use fastrand::Rng; fn f(now: Instant) -> bool { now > Instant::later() }
                #[cfg(test)] mod tests { use tokio::time; fn f() { Instant::now(); } }";
    let found = impurities(&syn::parse_file(pure).unwrap(), &["fastrand"]);
    assert!(found.is_empty(), "{found:?}");
}
