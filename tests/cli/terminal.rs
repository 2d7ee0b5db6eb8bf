//! On a terminal: `script` makes one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use dlock_tests::{Temp, not_run};

use crate::Cli;
use crate::command::{Running, until};

/// Runs it on a terminal of its own; what it shows goes to the file.
fn on_a_terminal(cli: &Cli, words: &[&str], shown: &Path) -> Option<Running> {
    line_on_a_terminal(cli, &in_one_line(&cli.command(words)), shown)
}

/// A command as a shell reads it.
fn in_one_line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let quoted = words.map(|word| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

/// The same for a line of a shell's.
fn line_on_a_terminal(cli: &Cli, line: &str, shown: &Path) -> Option<Running> {
    if Command::new("script").arg("--version").output().is_err() {
        not_run("dlock on a terminal", "script (util-linux) is not installed");
        return None;
    }
    let dlock = cli.command([""; 0]);
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-f", "-c", line]).arg(shown);
    script.envs(dlock.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("TERM", "xterm").env("SHELL", "/bin/sh");
    script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Some(Running::of(script.spawn().unwrap()))
}

fn shows(shown: &Path, text: &str) -> bool {
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

/// An interactive shell stops itself until it is in the foreground, and may have looked just before it was.
#[test]
fn command_that_stops_for_the_terminal_goes_on_when_it_has_it() {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let shown = folder.file("shown");
    let script = "kill -TTIN $$; echo went on";
    let Some(running) = on_a_terminal(&cli, &["run", "k", "--", "sh", "-c", script], &shown) else {
        return;
    };
    assert_eq!(running.outcome().code, Some(0));
    assert!(shows(&shown, "went on"));
}

/// A job of a shell's that Ctrl-Z has stopped: a command that steps until the file `end` is there.
struct Stopped {
    folder: Temp,
    cli: Cli,
    shell: Running,
}

impl Stopped {
    fn new(ttl: &str) -> Option<Self> {
        let folder = Temp::new();
        let cli = Cli::in_file(&folder);
        let [shown, pid, end, steps] = ["shown", "pid", "end", "steps"].map(|f| folder.file(f));
        let script = format!(
            "echo $$ $PPID > {}; until test -e {}; do echo . >> {}; sleep 0.05; done; exit 7",
            pid.display(),
            end.display(),
            steps.display()
        );
        // Not sh: Debian's starts programs by vfork, and stands in the kernel, not stopped, while its child is stopped
        // before it has become the program.
        let dlock =
            in_one_line(&cli.command(["run", "--ttl", ttl, "k", "--", "bash", "-c", &script]));
        let line = format!(
            "set -m; {dlock}; echo \"stopped with $?\"; read line; echo \"read $line\"; fg; \
             echo \"ended with $?\""
        );
        let mut bash = Command::new("bash");
        bash.args(["--norc", "-c", &line]);
        let mut shell = line_on_a_terminal(&cli, &in_one_line(&bash), &shown)?;
        until("it runs", || fs::read_to_string(&pid).is_ok_and(|pids| pids.ends_with('\n')));
        let pids = fs::read_to_string(&pid).unwrap();
        let command = pids.split_whitespace().next().unwrap();
        until("it has the terminal", || stat(command, PGRP) == stat(command, TPGID));
        shell.write("\u{1a}");
        // What bash says of one that was ended by the signal that stops for certain.
        until("the shell has its turn", || shows(&shown, "stopped with 147"));
        for pid in pids.split_whitespace() {
            until("it stands", || stat(pid, STATE).as_deref() == Some("T"));
        }
        Some(Stopped { folder, cli, shell })
    }

    fn go_on(&mut self) {
        self.shell.write("typed\n");
        until("the shell has the terminal", || shows(&self.folder.file("shown"), "read typed"));
    }

    fn steps(&self) -> u64 {
        fs::metadata(self.folder.file("steps")).unwrap().len()
    }

    #[track_caller]
    fn ends_with(self, status: u8) {
        assert_eq!(self.shell.outcome().code, Some(0));
        let shown = self.folder.file("shown");
        let text = fs::read_to_string(&shown).unwrap();
        assert!(shows(&shown, &format!("ended with {status}")), "{text}");
    }
}

/// Ctrl-Z stops the command and us, so that the shell has its terminal back; `fg` continues both.
#[test]
fn control_z_stops_all_of_it_and_fg_goes_on() {
    // Longer than a busy machine makes it stand.
    let Some(mut job) = Stopped::new("5m") else { return };
    // The lock is held meanwhile.
    assert_eq!(job.cli.run(["test", "k"]).code, Some(75));
    let stood = job.steps();
    job.go_on();
    until("the command goes on", || job.steps() > stood + 4);
    fs::write(job.folder.file("end"), "").unwrap();
    job.ends_with(7);
}

/// Who stands for longer than its lock lasts has lost it, and ends when it goes on.
#[test]
fn control_z_for_longer_than_the_lock_lasts_ends_the_command() {
    let Some(mut job) = Stopped::new("1s") else { return };
    until("others can have the lock", || job.cli.run(["test", "k"]).code == Some(0));
    assert_eq!(job.cli.run(["run", "-n", "k", "--", "true"]).code, Some(0));
    job.go_on();
    job.ends_with(74);
}

/// What a process does, which group it is in, and which group its terminal's foreground is: places
/// behind the name in `/proc/PID/stat`.
const STATE: usize = 0;
const PGRP: usize = 2;
const TPGID: usize = 5;

fn stat(pid: &str, place: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(place).map(str::to_owned)
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
