//! News from the kernel that somebody writes the file: what is waited for may be free soon.
//!
//! The one who gives a lease back has nothing to do for it, and those who do not wait are not told. A thread
//! of its own listens, for it may be any runtime that the engine runs on.

use std::io::Result;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use rustix::io::Errno;
use tokio::sync::Notify;

/// Others may write all the time: they are heard of no more often than this.
const PAUSE: Duration = Duration::from_millis(1);
/// How long a thread outlives its file at most.
const LINGER: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// See the [module](self).
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    changed: Notify,
    /// Somebody wants to know.
    wanted: AtomicBool,
    closed: AtomicBool,
}

impl Watch {
    /// Of this database, and of its journal if that is there to stay.
    pub(super) fn new(file: &Path) -> Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        add_watch(&inotify, file, WatchFlags::MODIFY)?;
        let mut wal = file.as_os_str().to_owned();
        wal.push("-wal");
        let _ = add_watch(&inotify, wal, WatchFlags::MODIFY);
        let shared = Arc::new(Shared::default());
        let listener = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("dlock-watch".into())
            .spawn(move || listener.listen(&inotify))?
            .thread()
            .clone();
        Ok(Watch { shared, thread })
    }

    /// Ends when somebody has written something. Cancel-safe: what happens meanwhile is told the
    /// next time.
    pub(super) async fn changed(&self) {
        if !self.shared.wanted.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
        self.shared.changed.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Shared {
    fn listen(&self, inotify: &OwnedFd) {
        while !self.closed.load(Ordering::Acquire) {
            if !self.wanted.load(Ordering::Acquire) {
                thread::park();
                continue;
            }
            match poll(&mut [PollFd::new(inotify, PollFlags::IN)], Some(&LINGER)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => {
                    let mut events = [0_u8; 4096];
                    while rustix::io::read(inotify, &mut events).is_ok_and(|read| read > 0) {}
                    self.wanted.store(false, Ordering::Release);
                    self.changed.notify_one();
                    thread::sleep(PAUSE);
                }
                Err(_) => return,
            }
        }
    }
}
