//! A server of the test's own, to restart, to kill and to set up.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backend::Backend;
use crate::check::not_run;
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
        Self::of(&backend.to_string(), None, settings)
    }

    /// The first node of a Galera cluster, as [`like`](Self::like).
    pub fn galera() -> Option<Self> {
        Self::of("galera", None, &[])
    }

    /// A server that belongs to this one: a "pgbouncer" before it, a "standby" that follows it, one
    /// more "node" of its cluster.
    pub fn beside(&self, kind: &str, settings: &[&str]) -> Option<Self> {
        Self::of(kind, self.dir.to_str(), settings)
    }

    fn of(kind: &str, beside: Option<&str>, settings: &[&str]) -> Option<Self> {
        if !db(&["list"]).lines().any(|line| line == kind) {
            not_run("private servers", &format!("no {kind} is installed; see tests/setup"));
            return None;
        }
        let settings = settings.iter().flat_map(|setting| ["-c", setting]);
        let args: Vec<&str> = ["start", kind].into_iter().chain(beside).chain(settings).collect();
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

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap()
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
