//! The walls of the runtime crate, read from its sources: what may import what, and that no files import each other in a
//! circle. `./tests/run layout` checks it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "layout/imports.rs"]
mod imports;
#[path = "layout/pure.rs"]
mod pure;

use std::collections::{BTreeMap, BTreeSet};

use imports::{Imports, circles, modules};

/// The parts of the crate, each with the parts that it may import. Those that are not listed are small and may be imported
/// by all: they import nothing but each other.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("spec", &[]),
    ("status", &["spec"]),
    ("clock", &["status"]),
    ("error", &["spec", "status"]),
    ("observe", &["spec", "status"]),
    ("connection", &["backend", "observe", "spec", "status"]),
    ("backend", &["connection", "spec", "status"]),
    ("engine", &["backend", "observe", "spec", "status", "testing"]),
    ("lock", &["engine", "locker", "observe", "spec", "status"]),
    ("locker", &["backend", "engine", "lock", "observe", "spec", "status"]),
    ("leader", &["engine", "lock", "spec", "status"]),
    ("fence", &["lock", "status"]),
    ("lease", &["backend"]),
    ("private", &["connection", "lock", "locker", "observe", "spec"]),
    ("serialized", &["spec", "status"]),
    ("testing", &["backend", "engine", "lock", "locker", "spec", "status"]),
];

/// What all may import.
const BASE: &[&str] = &[
    "blocking",
    "clock",
    "error",
    "random",
    "sort",
    "sorted_map",
    "switch",
    "sync",
    "text",
    "wait_group",
    "worker",
];

/// The pure cores, each with the crates that it may use besides the standard library. Time is an argument there, and what
/// they decide is returned: simulation drives these very types.
const PURE: &[(&str, &[&str])] = &[
    ("engine::lease::core", &["fastrand"]),
    ("engine::lock_table", &[]),
    ("engine::session::core", &["fastrand"]),
];

#[test]
fn parts_import_only_what_is_below_them() {
    let allowed: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let mut strange = BTreeSet::new();
    for (module, imports) in Imports::of(&modules()) {
        let part = part_of(&module);
        let may = allowed.get(part).copied().unwrap_or_default();
        for import in imports {
            let other = part_of(&import);
            if other != part && !BASE.contains(&other) && !may.contains(&other) {
                strange.insert(format!("{module} imports {import}"));
            }
        }
    }
    assert!(strange.is_empty(), "{}", Vec::from_iter(strange).join("\n"));
}

#[test]
fn decisions_know_no_clock_no_runtime_and_no_database() {
    let modules = modules();
    let mut strange = Vec::new();
    for (core, crates) in PURE {
        let files = modules.iter().filter(|(module, _)| {
            module.strip_prefix(core).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        let mut many = 0;
        for (module, file) in files {
            many += 1;
            let found = pure::impurities(file, crates);
            strange.extend(found.into_iter().map(|what| format!("{module} uses {what}")));
        }
        assert!(many > 0, "there is no {core}");
    }
    assert!(strange.is_empty(), "{}", strange.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let found = circles(&Imports::of(&modules()));
    assert!(found.is_empty(), "in a circle: {found:#?}");
}

#[test]
fn circle_is_found() {
    let circles_with = |c: &str| {
        let files = [("a", "use crate::b::B;"), ("b", "fn f() -> super::c::C {}"), ("c", c)];
        let parsed = files.map(|(name, text)| (name.to_owned(), syn::parse_file(text).unwrap()));
        circles(&Imports::of(&parsed.into()))
    };
    assert_eq!(circles_with("use super::a::A;"), [["a", "b", "c"]]);
    assert!(circles_with("use super::d::D;").is_empty());
}

fn part_of(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}
