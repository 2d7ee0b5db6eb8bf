//! The other side: a Python process with one of the libraries.

use std::fmt::Display;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::{Site, in_time, not_run};

/// Its inside.
const SCRIPT: &str = include_str!("peer.py");
/// Starting Python and its libraries takes a while.
const PATIENCE: Duration = Duration::from_secs(30);

/// A library of locks in Python.
#[derive(Debug, Clone, Copy)]
pub enum Library {
    /// sqlalchemy-dlock.
    SqlalchemyDlock,
    /// PALs.
    Pals,
    /// postgresql-lock.
    PostgresqlLock,
    /// django-database-locks.
    DjangoDatabaseLocks,
}

impl Library {
    /// Its name on PyPI.
    pub fn name(self) -> &'static str {
        match self {
            Library::SqlalchemyDlock => "sqlalchemy-dlock",
            Library::Pals => "pals",
            Library::PostgresqlLock => "postgresql-lock",
            Library::DjangoDatabaseLocks => "django-database-locks",
        }
    }
}

/// The Python that has the libraries; without one, says so.
pub fn python(site: &Site) -> Option<String> {
    let python = std::env::var("DLOCK_TEST_PYTHON").ok().filter(|python| !python.is_empty());
    if python.is_none() {
        let what = site.backend.map(|backend| format!("interop on {backend}"));
        not_run(&what.unwrap_or_default(), "DLOCK_TEST_PYTHON is not set; tests/run makes one");
    }
    python
}

/// A process that uses one of them. Killed on drop.
#[derive(Debug)]
pub struct Peer {
    _child: Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts it; it is ready.
    pub async fn start(
        python: &str,
        library: Library,
        url: &str,
        key: &str,
        mode: impl Display,
    ) -> Self {
        let mut child = Command::new(python)
            .args(["-c", SCRIPT, library.name(), url, key, &mode.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let words = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut peer = Peer { _child: child, orders, words };
        assert_eq!(peer.word().await, "ready");
        peer
    }

    /// Gives an order; the answer.
    pub async fn say(&mut self, order: &str) -> String {
        self.tell(order).await;
        self.word().await
    }

    /// Gives an order whose answer is another matter.
    pub async fn tell(&mut self, order: &str) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.unwrap();
    }

    /// The next line that it says.
    pub async fn word(&mut self) -> String {
        let word = in_time("a word from Python", PATIENCE, self.words.next_line()).await;
        word.unwrap().expect("Python has ended; what it wrote to stderr says why")
    }
}
