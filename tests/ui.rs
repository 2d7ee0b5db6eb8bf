//! Every mistake with `#[locked]` gets an answer that a person can act on.

#[test]
fn mistakes_are_explained() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/*.rs");
}
