//! `etcdctl lock`, which does the same with a server of its own, beside ours. (Debian has no consul.)

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use dlock_tests::{Signal, Temp, not_run};

use crate::Cli;
use crate::command::{Running, is_alive, until};

/// A server of etcd's.
struct Etcd {
    folder: Temp,
    programs: PathBuf,
    endpoint: String,
    _server: Running,
}

impl Etcd {
    /// Of the version whose faults are shown, if it is here.
    fn start() -> Option<Self> {
        let programs = std::env::var_os("DLOCK_TEST_ETCD").unwrap_or_else(|| "/usr/bin".into());
        let programs = PathBuf::from(programs);
        let version = Command::new(programs.join("etcdctl")).arg("version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        if !version.is_ok_and(|version| version.contains("etcdctl version: 3.4.")) {
            not_run("etcdctl beside dlock", "etcd 3.4 is not installed: run tests/setup etcd");
            return None;
        }
        let folder = Temp::new();
        let [client, peer] = [(); 2].map(|()| {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            format!("http://{}", free.local_addr().unwrap())
        });
        // It ends with this thread, in whatever way that ends.
        let mut server = Command::new("setpriv");
        server.args(["--pdeathsig", "KILL"]).arg(programs.join("etcd"));
        server.arg("--data-dir").arg(folder.file("data"));
        for (option, url) in [
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
        ] {
            server.args([option, url]);
        }
        server.args(["--initial-cluster", &format!("default={peer}")]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Running::of(server.spawn().unwrap());
        let etcd = Etcd { folder, programs, endpoint: client, _server: server };
        until("etcd answers", || etcd.command(&["endpoint", "health"]).status().unwrap().success());
        Some(etcd)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("etcdctl"));
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.endpoint]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn lock(&self, script: &str) -> Running {
        let command = self.command(&["lock", "k", "--", "sh", "-c", script]).spawn();
        Running::of(command.unwrap())
    }

    /// Takes the lock from its holder, as the server does when it has not heard of that.
    fn take_away(&self) {
        let leases = self.command(&["lease", "list"]).output().unwrap();
        let leases = String::from_utf8(leases.stdout).unwrap();
        let lease = leases.lines().last().unwrap();
        assert!(self.command(&["lease", "revoke", lease]).status().unwrap().success());
    }
}

/// A script that runs until the file `end` is there, and then makes `done`; TERM makes `told`.
fn script(folder: &Temp) -> String {
    let [pid, end, done, told] =
        ["pid", "end", "done", "told"].map(|name| folder.file(name).display().to_string());
    format!(
        "trap 'touch {told}' TERM; echo $$ > {pid}; until test -e {end}; do sleep 0.05; done; \
         touch {done}"
    )
}

/// The script's process, when it runs.
fn begun(folder: &Temp) -> String {
    let pid = || std::fs::read_to_string(folder.file("pid")).unwrap_or_default();
    until("it runs", || pid().ends_with('\n'));
    pid()
}

#[test]
fn lost_lock_ends_our_command_and_not_theirs() {
    let Some(etcd) = Etcd::start() else { return };
    let first = etcd.lock(&script(&etcd.folder));
    let pid = begun(&etcd.folder);
    etcd.take_away();
    // A second one runs to its end, and the first runs on, with a status of success.
    let second = etcd.folder.file("second");
    assert_eq!(etcd.lock(&format!("touch {}", second.display())).outcome().code, Some(0));
    assert!(second.exists() && is_alive(&pid));
    std::fs::write(etcd.folder.file("end"), "").unwrap();
    assert_eq!(first.outcome().code, Some(0));
    assert!(etcd.folder.file("done").exists());

    let folder = Temp::new();
    let cli = Cli::in_file(&folder);
    let words = ["run", "--ttl", "2s", "--grace", "200ms", "k", "--", "sh", "-c"];
    let first = cli.start(words.into_iter().chain([&*script(&folder)]));
    let pid = begun(&folder);
    assert_eq!(cli.run(["break", "-y", "k"]).code, Some(0));
    assert_eq!(first.outcome().code, Some(74));
    assert!(!is_alive(&pid) && folder.file("told").exists() && !folder.file("done").exists());
}

#[test]
fn term_is_passed_on_by_us_and_not_by_them() {
    let Some(etcd) = Etcd::start() else { return };
    let theirs = etcd.lock(&script(&etcd.folder));
    begun(&etcd.folder);
    let folder = Temp::new();
    let ours = Cli::in_file(&folder).start(["run", "k", "--", "sh", "-c", &script(&folder)]);
    begun(&folder);
    for running in [&theirs, &ours] {
        running.signal(Signal::TERM);
    }
    until("ours is told", || folder.file("told").exists());
    for (folder, running) in [(&etcd.folder, theirs), (&folder, ours)] {
        std::fs::write(folder.file("end"), "").unwrap();
        running.outcome();
    }
    assert!(!etcd.folder.file("told").exists());
}
