//! The binary, and what it came to.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dlock_tests::{Site, Temp};

/// What takes longer does not come.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// `DLOCK_TEST_CLI`, or what cargo makes of the sources beside these tests.
fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(binary) = std::env::var_os("DLOCK_TEST_CLI") {
            return binary.into();
        }
        // Of the same features as the tests, so that nothing else is built anew.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = ["build", "--quiet", "--workspace", "--all-features", "--bin", "dlock"];
        let built = Command::new(cargo).args(build).status().unwrap();
        assert!(built.success(), "dlock is not built");
        let here = std::env::current_exe().unwrap();
        here.ancestors().nth(2).unwrap().join("dlock")
    })
}

/// The command on a database.
#[derive(Clone)]
pub(crate) struct Cli {
    url: String,
    namespace: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cli {
    /// On that site's database, in its corner.
    pub(crate) fn on(site: &Site) -> Self {
        Cli { url: site.url.clone(), namespace: Some(site.namespace.clone()) }
    }

    /// On a file of its own.
    pub(crate) fn in_file(folder: &Temp) -> Self {
        Cli { url: format!("sqlite://{}", folder.file("locks.db").display()), namespace: None }
    }

    pub(crate) fn at(url: &str) -> Self {
        Cli { url: url.to_owned(), namespace: None }
    }

    /// The command, its input closed.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command
            .env("DLOCK_URL", &self.url)
            .args(self.namespace.as_ref().map(|n| format!("--namespace={n}")));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        self.start(args).outcome()
    }

    pub(crate) fn start<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Running {
        Running(Some(self.command(args).spawn().unwrap()))
    }
}

/// The command while it runs; killed when this is dropped.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn of(child: Child) -> Self {
        Running(Some(child))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.as_ref().unwrap().id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: dlock_tests::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.0.as_mut().unwrap().stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn close_stdin(&mut self) {
        drop(self.0.as_mut().unwrap().stdin.take());
    }

    /// Waits for its end.
    pub(crate) fn outcome(mut self) -> Outcome {
        let mut child = self.0.take().unwrap();
        let status = wait(&mut child);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Outcome { code: status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(began.elapsed() < LIMIT, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until this is true.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether that process is there, and no zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}
