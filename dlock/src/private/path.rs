//! The key of a function that names none: its full path.

use std::any::type_name;

use crate::key::Key;

/// The path of the function that the given one is nested in.
///
/// The compiler has a name for every function, and with it for the type whose method it is, which
/// an attribute on the method cannot see. Type arguments are no part of it: compilers have written
/// them in different ways, and a generic function is one function.
pub fn path_of<F>(_nested: F) -> Key {
    Key::from(without_arguments(&around(type_name::<F>())))
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
}
