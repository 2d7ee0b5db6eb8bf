//! The status file: what this process holds and waits for, for a person or a probe to read.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::callers::Callers;

/// It is written no more often than that.
const REST: Duration = Duration::from_millis(20);

/// See the [module](self).
pub(crate) struct StatusFile {
    path: PathBuf,
    /// What it says, or soon will.
    text: String,
    /// What was locked or asked for since may have changed that.
    stale: bool,
    not_before: Instant,
    writing: Option<JoinHandle<io::Result<()>>>,
    failing: bool,
}

impl StatusFile {
    /// Writes that there is nothing yet: a path that cannot be is told at once.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        let text = text(&Callers::default());
        write(&path, &text)?;
        let not_before = Instant::now();
        Ok(StatusFile { path, text, stale: false, not_before, writing: None, failing: false })
    }

    /// Something may have changed.
    pub(super) fn touch(&mut self) {
        self.stale = true;
    }

    /// When it is to be looked at again.
    pub(super) fn next(&self) -> Option<Instant> {
        (self.stale && self.writing.is_none()).then_some(self.not_before)
    }

    /// Whether it says what there is to say.
    pub(super) fn is_written(&self) -> bool {
        !self.stale && self.writing.is_none()
    }

    /// Writes it anew if it is time, on a thread that may block.
    pub(super) fn update(&mut self, callers: &Callers) {
        let now = Instant::now();
        if self.next().is_none_or(|at| at > now) {
            return;
        }
        self.stale = false;
        let text = text(callers);
        if text != self.text || self.failing {
            self.text.clone_from(&text);
            self.not_before = now + REST;
            let path = self.path.clone();
            self.writing = Some(spawn_blocking(move || write(&path, &text)));
        }
    }

    /// Ends when it has been written. Cancel-safe.
    pub(super) async fn written(&mut self) {
        let Some(writing) = &mut self.writing else {
            return std::future::pending().await;
        };
        let written = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        self.writing = None;
        let failed = written.is_err();
        if let Err(error) = written
            && !self.failing
        {
            tracing::warn!(target: "dlock", path = %self.path.display(), %error,
                "the status file cannot be written");
        }
        self.failing = failed;
    }

    /// The last words: nothing is held, nothing is waited for.
    pub(super) async fn finish(mut self) {
        if self.writing.is_some() {
            self.written().await;
        }
        self.stale = true;
        self.not_before = Instant::now();
        self.update(&Callers::default());
        if self.writing.is_some() {
            self.written().await;
        }
    }
}

/// A line with the state, one with the process, and one for each lock.
fn text(callers: &Callers) -> String {
    let mut lines = Vec::new();
    for (_, hold, _) in callers.granted.all_held() {
        let mut line = format!("held\t{}\t{}", hold.key, hold.mode());
        if let Some(fence) = hold.fence {
            // Writing to a String cannot fail.
            let _ = write!(line, "\t{fence}");
        }
        lines.push(line);
    }
    for request in callers.requests.values() {
        lines.push(format!("waiting\t{}\t{}", request.key, request.lock_id.mode));
    }
    lines.sort();
    let state = match lines.first() {
        None => "idle",
        Some(first) if first.starts_with("held") => "held",
        Some(_) => "waiting",
    };
    let mut text = format!("{state}\nprocess\t{}\n", std::process::id());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Whoever reads sees the old text or the new one, never a part.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    fs::write(&draft, text)?;
    fs::rename(&draft, path).inspect_err(|_| drop(fs::remove_file(&draft)))
}
