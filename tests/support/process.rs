//! Another process that takes locks, seen from the test: `taker.rs` is its inside.

use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::sync::mpsc;

use crate::eventually::in_time;
use crate::site::Site;
use crate::wall::Wall;

/// How long to wait for its next word.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a [`Taker`]: `taker!(site, "hold", key)`. Each argument is anything that is `Display`.
/// `taker!(site, by launch, …)`: started so, as with a wall clock of its own, if there is one.
#[macro_export]
macro_rules! taker {
    ($site:expr, by $launch:expr, $($arg:expr),+ $(,)?) => {
        $crate::Taker::start_by(env!("CARGO_BIN_EXE_taker"), &$site, $launch, &[$(&$arg),+])
    };
    ($site:expr, $($arg:expr),+ $(,)?) => {
        // Only cargo knows where the binary is, and tells only the tests.
        $crate::Taker::start(env!("CARGO_BIN_EXE_taker"), &$site, &[$(&$arg),+])
    };
}

/// How a process is started: with what in its environment, and by which command.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    env: Vec<(&'static str, OsString)>,
    before: Vec<String>,
}

impl Launch {
    /// By that command, which becomes the process that its further arguments name.
    pub(crate) fn after(command: impl IntoIterator<Item = String>) -> Self {
        Launch { before: command.into_iter().collect(), ..Launch::default() }
    }

    fn command(&self, binary: &str) -> Command {
        let mut words = self.before.iter().map(String::as_str).chain([binary]);
        let mut command = Command::new(words.next().unwrap_or(binary));
        command.args(words).envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl From<Option<&Wall>> for Launch {
    fn from(wall: Option<&Wall>) -> Self {
        let env = wall.into_iter().flat_map(Wall::env);
        Launch { env: env.map(|(name, value)| (name, value.into())).collect(), before: Vec::new() }
    }
}

/// Another process. Killed on drop.
#[derive(Debug)]
pub struct Taker {
    child: Child,
    orders: Option<ChildStdin>,
    words: mpsc::UnboundedReceiver<String>,
}

impl Taker {
    /// Starts it; see [`taker!`](crate::taker).
    pub fn start(binary: &str, site: &Site, args: &[&dyn fmt::Display]) -> Self {
        Self::start_by(binary, site, Launch::default(), args)
    }

    /// The same, started so.
    pub fn start_by(
        binary: &str,
        site: &Site,
        launch: impl Into<Launch>,
        args: &[&dyn fmt::Display],
    ) -> Self {
        let mut command = launch.into().command(binary);
        let mut child = command
            .args(site.to_args())
            .args(args.iter().map(ToString::to_string))
            .env_remove("DLOCK_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, words) = mpsc::unbounded_channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = say.send(line);
            }
        });
        let orders = child.stdin.take();
        Taker { child, orders, words }
    }

    /// The next line that it says.
    pub async fn line(&mut self) -> String {
        let word = in_time("a word from the taker", PATIENCE, self.words.recv()).await;
        word.unwrap_or_else(|| panic!("the taker ended: {:?}", self.child.wait()))
    }

    /// A line that it has said already.
    pub fn said(&mut self) -> Option<String> {
        self.words.try_recv().ok()
    }

    /// Waits for this very line.
    pub async fn says(&mut self, line: &str) {
        assert_eq!(self.line().await, line);
    }

    /// Says a line to it.
    pub fn tell(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
    }

    /// Ends its input. What it has forked hears of that too.
    pub fn hang_up(&mut self) {
        self.orders = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.kill();
    }
}
