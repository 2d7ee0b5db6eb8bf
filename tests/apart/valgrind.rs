//! Users look for their own mistakes with valgrind: dlock must run under it.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

#[test]
fn locks_are_taken_under_valgrind() {
    let program = env!("CARGO_BIN_EXE_one-lock");
    // Errors of memory are none of ours to have; leaks at the end are the runtime's business.
    let valgrind = ["--error-exitcode=9", "--leak-check=no", "-q", program];
    let output = match Command::new("valgrind").args(valgrind).output() {
        Ok(output) => output,
        Err(error) => return not_run(&error.to_string()),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}{errors}", output.status);
    assert_eq!(said, "held: true\ndone\n", "{errors}");
}

/// Prints it, also for the summary of `tests/run`.
fn not_run(why: &str) {
    let line = format!("valgrind: {why}");
    eprintln!("NOT RUN: {line}");
    if let Some(path) = std::env::var_os("DLOCK_TEST_NOT_RUN") {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }
}
