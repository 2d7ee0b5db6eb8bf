//! Signals are obeyed while it waits, and passed on while the command runs.

use std::fs;

use dlock_tests::{Signal, Temp};

use crate::Cli;
use crate::command::{is_alive, until};

/// The command runs `script` and says so by a file.
fn started(folder: &Temp, cli: &Cli, script: &str) -> crate::command::Running {
    let ready = folder.file("ready");
    let script = format!("{script}; echo $$ > {}; while :; do sleep 0.05; done", ready.display());
    let running = cli.start(["run", "k", "--", "sh", "-c", &script]);
    until("it runs", || fs::read_to_string(&ready).is_ok_and(|pid| pid.ends_with('\n')));
    running
}

#[test]
fn are_passed_on_to_the_command() {
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let folder = Temp::new();
        let cli = Cli::in_file(&folder);
        let running = started(&folder, &cli, &format!("trap 'exit 42' {name}"));
        running.signal(signal);
        assert_eq!(running.outcome().code, Some(42), "{name}");
    }
}

#[test]
fn command_that_a_signal_ends_is_told_by_the_status() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let running = started(&folder, &cli, "true");
    running.signal(Signal::TERM);
    assert_eq!(running.outcome().code, Some(128 + 15));
    assert_eq!(cli.run(["test", "k"]).code, Some(0));
}

/// `etcdctl lock` does not pass TERM on, `consul lock` starts the command while it shuts down.
#[test]
fn while_it_waits_end_it_without_the_command() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let holder = started(&folder, &cli, "true");
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let ran = folder.file("ran");
        let waiting = cli.start(["run", "k", "--", "touch", ran.to_str().unwrap()]);
        // It listens before it asks for the lock: then its database file is open.
        until("it listens", || caught(waiting.pid()) & (1 << 14) != 0);
        waiting.signal(signal);
        assert_eq!(waiting.outcome().code, Some(code));
        assert!(!ran.exists());
    }
    drop(holder);
}

/// Which signals that process catches.
fn caught(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap())
}

#[test]
fn that_are_ignored_stay_ignored() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let dlock = cli.command(["run", "k", "--", "sh", "-c", "kill -HUP $$; exit 5"]);
    let mut nohup = std::process::Command::new("nohup");
    nohup.arg(dlock.get_program()).args(dlock.get_args());
    nohup.envs(dlock.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = nohup.stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
}

/// Nobody would keep its lock.
#[test]
fn command_does_not_outlive_a_dlock_that_is_killed() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let running = started(&folder, &cli, "true");
    let pid = fs::read_to_string(folder.file("ready")).unwrap();
    assert!(is_alive(&pid));
    running.signal(Signal::KILL);
    until("it has ended", || !is_alive(&pid));
}
