//! `dlock hold`.

use std::process::{Command, Stdio};

use dlock_tests::{Signal, Temp};

use crate::Cli;
use crate::command::{Running, until};

#[test]
fn ends_with_its_input() {
    let folder = Temp::new();
    let (cli, ready) = (Cli::in_file(&folder), folder.file("ready"));
    let words = ["hold", "k", "--ready-file", ready.to_str().unwrap()];
    let child = cli.command(words).stdin(Stdio::piped()).spawn().unwrap();
    let mut running = Running::of(child);
    until("it is held", || ready.exists());
    assert_eq!(cli.run(["test", "k"]).code, Some(75));
    running.write("this is not the end");
    running.close_stdin();
    let outcome = running.outcome();
    assert_eq!((outcome.code, &*outcome.out), (Some(0), "held k\n"));
    assert!(!ready.exists());
    assert_eq!(cli.run(["test", "k"]).code, Some(0));
}

#[test]
fn ends_with_its_parent() {
    let folder = Temp::new();
    let (cli, ready) = (Cli::in_file(&folder), folder.file("ready"));
    let mut parent = Command::new("sleep").arg("60").spawn().unwrap();
    let pid = parent.id().to_string();
    let running =
        cli.start(["hold", "k", "--parent", &pid, "--ready-file", ready.to_str().unwrap()]);
    until("it is held", || ready.exists());
    // Not reaped: to the kernel it is still there.
    parent.kill().unwrap();
    assert_eq!(running.outcome().code, Some(0));
    parent.wait().unwrap();
}

#[test]
fn ends_with_a_signal_or_the_loss() {
    let folder = Temp::new();
    let (cli, ready) = (Cli::in_file(&folder), folder.file("ready"));
    for by_signal in [true, false] {
        let words = ["hold", "k", "--ready-file", ready.to_str().unwrap()];
        let child = cli.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let running = Running::of(child);
        until("it is held", || ready.exists());
        if by_signal {
            running.signal(Signal::TERM);
            assert_eq!(running.outcome().code, Some(143));
        } else {
            assert_eq!(cli.run(["break", "-y", "k"]).code, Some(0));
            assert_eq!(running.outcome().code, Some(74));
        }
        assert!(!ready.exists());
    }
}
