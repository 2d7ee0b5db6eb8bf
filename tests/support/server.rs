//! A server of the test's own, to restart, to kill and to set up.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backend::Backend;
use crate::check::not_run;
use crate::disk::Disk;
use crate::site::Site;

/// A private server; stopped on drop, and when this process ends in any other way.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    url: String,
}

impl Server {
    /// A server of the same kind as the site's, with these settings. `None`, and said so, when that
    /// kind is not installed here.
    pub fn like(site: &Site, settings: &[&str]) -> Option<Self> {
        Self::start(site.backend.unwrap_or(Backend::Postgres), settings)
    }

    /// A server of this kind, as [`like`](Self::like).
    pub fn start(backend: Backend, settings: &[&str]) -> Option<Self> {
        Self::of(&backend.to_string(), None, &set(settings))
    }

    /// The same at that address of this host's, for everybody nearby.
    pub fn start_at(backend: Backend, address: &str) -> Option<Self> {
        Self::of(&backend.to_string(), None, &["-a", address])
    }

    /// The same with its data on a disk of that size; see [`disk`](Self::disk).
    pub fn start_on_a_disk(backend: Backend, size: &str) -> Option<Self> {
        if !db(&["list"]).lines().any(|line| line == "disk") {
            not_run("servers on full disks", "this user cannot mount a small disk");
            return None;
        }
        Self::of(&backend.to_string(), None, &["-d", size])
    }

    /// The first node of a Galera cluster, as [`like`](Self::like).
    pub fn galera() -> Option<Self> {
        Self::of("galera", None, &[])
    }

    /// The first of a group of MySQL servers (Group Replication), as [`like`](Self::like).
    pub fn group(settings: &[&str]) -> Option<Self> {
        Self::of("group", None, &set(settings))
    }

    /// The etcd of a "patroni", as [`like`](Self::like).
    pub fn etcd() -> Option<Self> {
        Self::of("etcd", None, &[])
    }

    /// A server that belongs to this one: a "pgbouncer" before it, a "standby" that follows it, one
    /// more "node" of its cluster, one more "member" of the group that it has begun, a PostgreSQL under
    /// "patroni" that keeps its state in it.
    pub fn beside(&self, kind: &str, settings: &[&str]) -> Option<Self> {
        Self::of(kind, self.dir.to_str(), &set(settings))
    }

    fn of(kind: &str, beside: Option<&str>, options: &[&str]) -> Option<Self> {
        if !db(&["list"]).lines().any(|line| line == kind) {
            not_run("private servers", &format!("no {kind} is installed; see tests/setup"));
            return None;
        }
        let options = options.iter().copied();
        let args: Vec<&str> = ["start", kind].into_iter().chain(beside).chain(options).collect();
        let answer = db(&args);
        let (dir, url) = answer.trim().rsplit_once(' ').unwrap();
        Some(Server { dir: dir.into(), url: url.to_owned() })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it in an orderly way and starts it again.
    pub fn restart(&self) {
        self.db("restart");
    }

    /// All its processes at once, as in a crash.
    pub fn kill(&self) {
        self.db("kill");
    }

    /// Starts it again after that.
    pub fn start_after_crash(&self) {
        self.db("crash-start");
    }

    /// Stops all its processes where they are.
    pub fn freeze(&self) {
        self.db("freeze");
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.db("thaw");
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.db("promote");
    }

    /// Where its data are, if they have a disk of their own.
    pub fn disk(&self) -> Disk {
        Disk::at(&self.dir.join("data"))
    }

    /// Cuts a member of a group off from the others, not from its clients. Returns `false` where no network can be
    /// made for it.
    pub fn cut(&self) -> bool {
        let has_network = self.dir.join("network").exists();
        if has_network {
            self.db("cut");
        } else {
            not_run(
                "a server that is cut off from its group",
                "needs root, and network namespaces",
            );
        }
        has_network
    }

    /// Takes that back.
    pub fn mend(&self) {
        self.db("mend");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("log")).unwrap()).into_owned()
    }

    /// The version of its program.
    pub fn version(&self) -> String {
        db(&["version", self.dir.to_str().unwrap()]).trim().to_owned()
    }

    fn db(&self, command: &str) {
        db(&[command, self.dir.to_str().unwrap()]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.db("stop");
    }
}

/// As options of `db start`.
fn set<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|setting| ["-c", setting]).collect()
}

fn db(args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/db");
    let mut command = Command::new(script);
    let output = command
        .args(args)
        .env("DLOCK_TEST_OWNER_PID", std::process::id().to_string())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "db {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
