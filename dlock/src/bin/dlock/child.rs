//! The command: a process group of its own, and what becomes of it.

use std::ffi::OsString;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use tokio::signal::unix::{self, SignalKind};

use crate::failure::by_signal;
use crate::shim;
use crate::terminal::Terminal;

pub(crate) struct Child {
    pid: Pid,
    changes: unix::Signal,
    terminal: Option<Terminal>,
}

/// What has become of the command.
pub(crate) enum Change {
    /// This is its exit status.
    Ended(u8),
    /// It was stopped, by Ctrl-Z for example.
    Stopped,
}

impl Child {
    /// Starts the command in a process group of its own, which gets the terminal if we have it.
    pub(crate) fn spawn(
        words: &[OsString],
        environment: impl IntoIterator<Item = (&'static str, String)>,
    ) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let changes = unix::signal(SignalKind::child())?;
        let terminal = Terminal::of_foreground();
        let child = shim::command(words).envs(environment).process_group(0).spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let child = Child { pid: Pid::from_raw(pid), changes, terminal };
        if let Some(terminal) = &child.terminal {
            terminal.give_to(child.pid);
        }
        Ok(child)
    }

    /// Waits until the command ends or is stopped. As the first process of a container, we also
    /// reap what others have left. Cancel-safe.
    pub(crate) async fn change(&mut self) -> Change {
        loop {
            while let Some(status) = self.next_status() {
                match status {
                    WaitStatus::Exited(pid, code) if pid == self.pid => {
                        self.take_terminal();
                        return Change::Ended(u8::try_from(code & 0xff).unwrap_or(u8::MAX));
                    }
                    WaitStatus::Signaled(pid, signal, _) if pid == self.pid => {
                        self.take_terminal();
                        return Change::Ended(by_signal(signal as i32));
                    }
                    WaitStatus::Stopped(pid, signal) if pid == self.pid => {
                        if !self.wanted_terminal_early(signal) {
                            return Change::Stopped;
                        }
                        self.signal(Signal::SIGCONT);
                    }
                    _ => {}
                }
            }
            self.changes.recv().await;
        }
    }

    /// Whether this has stopped the command because it wanted the terminal before it got it. Not continued unasked:
    /// that would undo a Ctrl-Z.
    fn wanted_terminal_early(&self, signal: Signal) -> bool {
        let wanted = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        wanted && self.terminal.as_ref().is_some_and(|terminal| terminal.belongs_to(self.pid))
    }

    /// The next child that has changed.
    fn next_status(&self) -> Option<WaitStatus> {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED)) {
            Ok(WaitStatus::StillAlive) => None,
            Ok(status) => Some(status),
            // Somebody has set SIGCHLD to be ignored: then the kernel does not say how it ended.
            Err(Errno::ECHILD) => Some(WaitStatus::Exited(self.pid, 0)),
            Err(_) => None,
        }
    }

    /// To the whole process group.
    pub(crate) fn signal(&self, signal: Signal) {
        // One that has ended needs none.
        let _ = killpg(self.pid, signal);
    }

    /// Whether nobody of the process group is left.
    pub(crate) fn is_gone(&self) -> bool {
        killpg(self.pid, None) == Err(Errno::ESRCH)
    }

    /// Stops as the command was, and goes on with it. Only under a shell with job control, whose
    /// terminal the command had: nobody else would continue it.
    pub(crate) fn stop_too(&self) {
        let Some(terminal) = &self.terminal else { return };
        terminal.take_back();
        // Until the shell continues us.
        let _ = kill(getpid(), Signal::SIGSTOP);
        if terminal.is_ours() {
            terminal.give_to(self.pid);
        }
        self.signal(Signal::SIGCONT);
    }

    fn take_terminal(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back();
        }
    }
}
