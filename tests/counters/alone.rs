//! Tests that count what their whole process does.

use std::env;
use std::process::Command;
use std::thread;

const ALONE: &str = "DLOCK_TEST_ALONE";

/// Whether this test has now passed in a process of its own. `false`: it is in one, and is to go on.
///
/// cargo-nextest gives one to each test; `cargo test` runs them side by side.
pub(crate) fn has_passed_alone() -> bool {
    let by_nextest =
        env::var("NEXTEST_EXECUTION_MODE").is_ok_and(|mode| mode == "process-per-test");
    if by_nextest || env::var_os(ALONE).is_some() {
        return false;
    }
    let thread = thread::current();
    let (_, test) = thread.name().unwrap().split_once("::").unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    let output = command.args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{test}, in its own process");
    true
}
