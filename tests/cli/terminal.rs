//! On a terminal: `script` makes one.

use std::fs;
use std::process::{Command, Stdio};

use dlock_tests::{Temp, not_run};

use crate::Cli;
use crate::command::{Running, until};

/// Runs it on a terminal of its own; what it shows goes to the file.
fn on_a_terminal(cli: &Cli, words: &[&str], shown: &std::path::Path) -> Option<Running> {
    if Command::new("script").arg("--version").output().is_err() {
        not_run("dlock on a terminal", "script (util-linux) is not installed");
        return None;
    }
    let dlock = cli.command(words);
    let line: Vec<String> = [dlock.get_program()]
        .into_iter()
        .chain(dlock.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")))
        .collect();
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-f", "-c", &line.join(" ")]).arg(shown);
    script.envs(dlock.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("TERM", "xterm").env("SHELL", "/bin/sh");
    script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(Running::of(script.spawn().unwrap()))
}

fn shows(shown: &std::path::Path, text: &str) -> bool {
    fs::read_to_string(shown).is_ok_and(|all| all.contains(text))
}

#[test]
fn list_is_redrawn_until_q() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let shown = folder.file("shown");
    let Some(mut list) = on_a_terminal(&cli, &["ls", "--watch"], &shown) else { return };
    until("it is drawn", || shows(&shown, "0 locks"));
    let hold = cli.start(["run", "seen-by-all", "--", "sleep", "60"]);
    until("the lock is shown", || shows(&shown, "seen-by-all"));
    list.write("q");
    assert_eq!(list.outcome().code, Some(0));
    assert!(shows(&shown, "\u{1b}[?1049l"), "the screen is not given back");
    drop(hold);
}

#[test]
fn control_c_ends_a_wait() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let (shown, ready, ran) = (folder.file("shown"), folder.file("ready"), folder.file("ran"));
    let script = format!("touch {}; sleep 60", ready.display());
    let hold = cli.start(["run", "k", "--", "sh", "-c", &script]);
    until("it is held", || ready.exists());
    let words = ["run", "k", "--", "touch", ran.to_str().unwrap()];
    let Some(mut waiting) = on_a_terminal(&cli, &words, &shown) else { return };
    until("it says for whom it waits", || shows(&shown, "waiting for \"k\", held by owner"));
    waiting.write("\u{3}");
    assert_eq!(waiting.outcome().code, Some(130));
    assert!(!ran.exists());
    drop(hold);
}

/// It reads from the terminal: only its foreground may.
#[test]
fn command_has_the_terminal() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let (shown, read) = (folder.file("shown"), folder.file("read"));
    let script = format!("echo ready; read line; echo \"$line\" > {}", read.display());
    let words = ["run", "k", "--", "sh", "-c", &script];
    let Some(mut running) = on_a_terminal(&cli, &words, &shown) else { return };
    until("it asks", || shows(&shown, "ready"));
    running.write("typed\n");
    assert_eq!(running.outcome().code, Some(0));
    assert_eq!(fs::read_to_string(read).unwrap(), "typed\n");
}

/// The first process of a container has to reap what others leave.
#[test]
fn works_as_the_first_process() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let dlock = cli.command(["run", "k", "--", "sh", "-c", "(sleep 0.1 &); sleep 0.3; exit 7"]);
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(dlock.get_program())
        .args(dlock.get_args());
    unshare.envs(dlock.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = unshare.stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.code() == Some(7) => {}
        Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare") => {
            not_run("dlock as the first process", "a process namespace needs root");
        }
        output => panic!("{output:?}"),
    }
}
