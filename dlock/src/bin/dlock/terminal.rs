//! The foreground of the terminal: handed to the command, and taken back.

use std::fs::{File, OpenOptions};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// The terminal that controls this process.
pub(crate) struct Terminal(File);

impl Terminal {
    /// The terminal, if there is one and we are in its foreground.
    pub(crate) fn of_foreground() -> Option<Self> {
        let terminal = Terminal(OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?);
        terminal.is_ours().then_some(terminal)
    }

    pub(crate) fn is_ours(&self) -> bool {
        self.belongs_to(getpgrp())
    }

    /// Whether this process group is in the foreground.
    pub(crate) fn belongs_to(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0).is_ok_and(|foreground| foreground == group)
    }

    pub(crate) fn give_to(&self, group: Pid) {
        // A process in the background is stopped for this, unless the signal is blocked. The
        // command does not inherit the mask: std clears it.
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTTOU);
        let before = mask.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // A group that has ended already needs no terminal.
        let _ = tcsetpgrp(&self.0, group);
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
    }

    pub(crate) fn take_back(&self) {
        self.give_to(getpgrp());
    }
}
