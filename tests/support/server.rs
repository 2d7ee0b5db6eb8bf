//! A PostgreSQL server of the test's own, to restart, to kill and to set up.

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
    /// A server of the same version as the site's, with these settings. `None`, and said so, when
    /// that version is not installed here.
    pub fn like(site: &Site, settings: &[&str]) -> Option<Self> {
        let version = match site.backend {
            Some(Backend::Postgres18) => "18",
            _ => "system",
        };
        if !pg(&["list"]).lines().any(|line| line == version) {
            let why = format!("no PostgreSQL ({version}) is installed; see tests/setup");
            not_run("private servers", &why);
            return None;
        }
        let settings = settings.iter().flat_map(|setting| ["-c", setting]);
        let args: Vec<&str> = ["start", version].into_iter().chain(settings).collect();
        let answer = pg(&args);
        let (dir, port) = answer.trim().rsplit_once(' ').unwrap();
        let url = format!("postgres://dlock@127.0.0.1:{port}/dlock");
        Some(Server { dir: dir.into(), url })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops it in an orderly way and starts it again.
    pub fn restart(&self) {
        self.pg("restart");
    }

    /// All its processes at once, as in a crash.
    pub fn kill(&self) {
        self.pg("kill");
    }

    /// Starts it again after that.
    pub fn start_after_crash(&self) {
        self.pg("crash-start");
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap()
    }

    fn pg(&self, command: &str) {
        pg(&[command, self.dir.to_str().unwrap()]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.pg("stop");
    }
}

fn pg(args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("support/pg");
    let mut command = Command::new(script);
    let output = command
        .args(args)
        .env("DLOCK_TEST_OWNER_PID", std::process::id().to_string())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "pg {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
