//! The key of a function that names none: its full path.

use std::any::type_name;

use crate::spec::key::Key;

/// The path of the function that the given one is nested in.
///
/// The compiler has a name for every function, and with it for the type whose method it is, which
/// an attribute on the method cannot see. Type arguments are no part of it: compilers have written
/// them in different ways, and a generic function is one function.
pub fn path_of<F>(_nested: F) -> Key {
    Key::from(without_arguments(&around(type_name::<F>())))
}

/// The same for a method, whose type the compiler names only where the method is written for that
/// type: in a trait, all types would share one key. There the type is added, so that a provided
/// method has the path that it would have in an impl: `<app::Job as app::Run>::run`.
pub fn path_of_method<S: ?Sized, F>(_nested: F) -> Key {
    let owner = without_arguments(type_name::<S>());
    Key::from(of_method(&without_arguments(&around(type_name::<F>())), &owner))
}

fn of_method(path: &str, owner: &str) -> String {
    match path.rsplit_once("::") {
        Some((container, method)) if container != owner && !container.contains('<') => {
            format!("<{owner} as {container}>::{method}")
        }
        _ => path.to_owned(),
    }
}

/// `app::Job::run` of `app::Job<_>::run::{{closure}}::__dlock_here`: an async body is a closure.
fn around(nested: &str) -> String {
    let path = nested.rsplit_once("::").map_or(nested, |(path, _)| path);
    path.replace("::{{closure}}", "")
}

/// Without `<…>` behind a name; as in `<app::Job as app::Run>::run` it stays.
fn without_arguments(path: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut last = ':';
    for c in path.chars() {
        let argument = depth > 0 || last == '_' || last.is_alphanumeric();
        match c {
            '<' if argument => depth += 1,
            '>' if depth > 0 && last != '-' => depth -= 1,
            _ if depth == 0 => out.push(c),
            _ => {}
        }
        last = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_path_of_the_function() {
        for (nested, path) in [
            ("app::jobs::nightly::here", "app::jobs::nightly"),
            ("app::jobs::nightly::{{closure}}::{{closure}}::here", "app::jobs::nightly"),
            ("app::main::{{closure}}::nested::here", "app::main::nested"),
            ("app::Job<_>::run::here", "app::Job::run"),
            ("app::Job<fn() -> Vec<u8>, 7>::run::here", "app::Job::run"),
            ("<app::Job<T> as app::Run<u8>>::run::here", "<app::Job as app::Run>::run"),
            ("app::far::<impl app::Job<u8>>::run::here", "app::far::<impl app::Job>::run"),
        ] {
            assert_eq!(without_arguments(&around(nested)), path);
        }
    }

    #[test]
    fn a_method_of_a_trait_belongs_to_the_type_that_has_it() {
        for (path, owner, run_with_fallback) in [
            ("app::Job::run", "app::Job", "app::Job::run"),
            ("app::Run::run", "app::Job", "<app::Job as app::Run>::run"),
            ("app::Run::run", "&app::Job", "<&app::Job as app::Run>::run"),
            ("<app::Job as app::Run>::run", "app::Job", "<app::Job as app::Run>::run"),
            ("app::far::<impl app::Job>::run", "app::Job", "app::far::<impl app::Job>::run"),
        ] {
            assert_eq!(of_method(path, owner), run_with_fallback);
        }
    }
}
