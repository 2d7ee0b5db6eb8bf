//! Exit statuses, and what the command gets.

use dlock_tests::Temp;

use crate::{Cli, Outcome};

fn in_file() -> (Temp, Cli) {
    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    (folder, cli)
}

#[test]
fn of_the_command_is_ours() {
    let (_folder, cli) = in_file();
    for (script, code) in
        [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        let outcome = cli.run(["run", "k", "--", "sh", "-c", script]);
        assert_eq!(outcome.code, Some(code), "{script}: {outcome:?}");
        assert_eq!(outcome.err, "");
    }
}

#[test]
fn of_what_cannot_be_run_is_that_of_shells() {
    let (folder, cli) = in_file();
    let outcome = cli.run(["run", "k", "--", "no-such-command"]);
    assert_eq!(outcome.code, Some(127));
    assert!(outcome.err.starts_with("dlock: cannot run no-such-command: "), "{}", outcome.err);
    let file = folder.file("plain");
    std::fs::write(&file, "").unwrap();
    assert_eq!(cli.run(["run", "k", "--", file.to_str().unwrap()]).code, Some(126));
    // The lock is free again.
    assert_eq!(cli.run(["test", "k"]).code, Some(0));
}

#[test]
fn of_a_busy_lock_is_75_or_what_was_asked_for() {
    let (folder, cli) = in_file();
    let ready = folder.file("ready");
    let hold =
        cli.start(["run", "k", "--", "sh", "-c", &format!("touch {}; sleep 60", ready.display())]);
    crate::command::until("it is held", || ready.exists());
    let ran = folder.file("ran");
    let command = format!("touch {}", ran.display());
    let run = |options: &[&str]| {
        let words = ["run"].iter().chain(options).copied();
        cli.run(words.chain(["k", "--", "sh", "-c", &command]))
    };
    let outcome = run(&["-n"]);
    assert_eq!(outcome.code, Some(75));
    assert!(outcome.err.starts_with("dlock: lock \"k\" is taken: "), "{}", outcome.err);
    assert!(outcome.err.contains("owner ") && outcome.err.contains(", for "), "{}", outcome.err);
    let outcome = run(&["-w", "300ms"]);
    assert_eq!(outcome.code, Some(75));
    assert!(outcome.err.contains("was not free within"), "{}", outcome.err);
    assert_eq!(run(&["-n", "-E", "9"]).code, Some(9));
    let Outcome { code, out, err } = run(&["-n", "--skip"]);
    assert_eq!((code, &*out, &*err), (Some(0), "", ""));
    assert_eq!(cli.run(["test", "k"]).code, Some(75));
    assert!(!ran.exists(), "the command ran without the lock");
    drop(hold);
}

#[test]
fn of_what_is_done_for_this_period_is_busy() {
    let (_folder, cli) = in_file();
    let run = |script| cli.run(["run", "-n", "--once-per", "1d", "k", "--", "sh", "-c", script]);
    // One that fails is tried again.
    assert_eq!(run("exit 3").code, Some(3));
    assert_eq!(run("exit 0").code, Some(0));
    let outcome = run("exit 0");
    assert_eq!(outcome.code, Some(75));
    assert!(outcome.err.contains("done already in this period"), "{}", outcome.err);
    let outcome = Cli::at("memory:").run(["run", "--once-per", "1d", "k", "--", "true"]);
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
}

#[test]
fn of_wrong_usage_is_64() {
    let (_folder, cli) = in_file();
    for args in [
        &["run", "k"][..],
        &["run", "--", "true"],
        &["fly"],
        &["run", "-n", "-w", "1", "k", "--", "true"],
        &["run", "-w", "soon", "k", "--", "true"],
        &["run", "--fenced", "a", "b", "--", "true"],
        &["run", "--on-lost", "weep", "k", "--", "true"],
    ] {
        let outcome = cli.run(args);
        assert_eq!(outcome.code, Some(64), "{args:?}: {outcome:?}");
        assert!(outcome.out.is_empty() && !outcome.err.is_empty());
    }
    let outcome = Cli::at("").run(["test", "k"]);
    assert_eq!(outcome.code, Some(64));
    assert!(outcome.err.contains("set DLOCK_URL"), "{}", outcome.err);
    for args in [&["--help"][..], &["--version"], &["run", "--help"]] {
        assert_eq!(cli.run(args).code, Some(0), "{args:?}");
    }
    let help = cli.run(["--help"]).out;
    assert!(help.lines().count() <= 40, "it does not fit a screen:\n{help}");
}

#[test]
fn of_an_unreachable_server_is_69_and_of_a_wrong_set_up_78() {
    // Nobody listens there: the port is bound to nothing that accepts.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let outcome = Cli::at(&format!("postgres://app:geheim@127.0.0.1:{port}/app")).run(["ls"]);
    assert_eq!(outcome.code, Some(69), "{outcome:?}");
    assert!(!outcome.err.contains("geheim"));
    let outcome = Cli::at("gopher://host/app").run(["ls"]);
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    let outcome = Cli::at("sqlite:///no/such/folder/locks.db").run(["ls"]);
    assert!(matches!(outcome.code, Some(69 | 78)), "{outcome:?}");
}

#[test]
fn command_knows_its_lock_and_no_password() {
    let (_folder, cli) = in_file();
    let print = "echo \"$DLOCK_KEY|$DLOCK_FENCE|$DLOCK_URL\"";
    let outcome = cli.run(["run", "--fenced", "job:1", "--", "sh", "-c", print]);
    let words: Vec<&str> = outcome.out.trim().split('|').collect();
    assert_eq!(words[0], "job:1");
    assert!(words[1].parse::<u64>().unwrap() > 0);
    assert!(words[2].starts_with("sqlite://"), "{}", outcome.out);
    let outcome = cli.run(["run", "a", "b", "--", "sh", "-c", print]);
    assert_eq!(outcome.out.lines().next(), Some("a"));
}

#[test]
fn input_and_output_are_the_commands() {
    use std::process::Stdio;
    let (_folder, cli) = in_file();
    let child = cli.command(["run", "k", "--", "tr", "a-z", "A-Z"]).stdin(Stdio::piped()).spawn();
    let mut running = crate::command::Running::of(child.unwrap());
    running.write("text");
    running.close_stdin();
    assert_eq!(running.outcome().out, "TEXT");
}

#[test]
fn papers_come_out() {
    let (_folder, cli) = in_file();
    assert!(cli.run(["completions", "bash"]).out.contains("dlock"));
    assert!(cli.run(["man"]).out.contains(".TH dlock"));
    assert!(cli.run(["ddl"]).out.contains("CREATE TABLE"));
    let outcome = cli.run(["explain", "k", "--json"]);
    let explained: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(explained["native"], "k");
    assert_eq!(cli.run(["check"]).code, Some(0));
}
