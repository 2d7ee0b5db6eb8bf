//! Every mistake with `#[locked]` gets an answer that a person can act on.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::Command;

use dlock_tests::not_run;

/// The compiler words half of each answer, and words it differently with each version.
const RUSTC: &str = "rustc 1.95.";

#[test]
fn mistakes_are_explained() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    if !version.starts_with(RUSTC) {
        return not_run("ui", &format!("the answers are those of {RUSTC}x, this is {version}"));
    }
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/*.rs");
}
