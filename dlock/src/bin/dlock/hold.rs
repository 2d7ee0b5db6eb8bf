//! `dlock hold`: a lock for as long as somebody wants it.

use std::fs;
use std::future::pending;
use std::io::{Read, stdin};
use std::path::Path;
use std::time::Duration;

use dlock::{Guard, Locker};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::args::{Common, Hold};
use crate::failure::Failure;
use crate::held;
use crate::locker::{close, connect};
use crate::output::print;
use crate::signals::Signals;
use crate::waiting::{until_stopped, with_progress};

/// How often it is looked whether the process is still there.
const LOOK: Duration = Duration::from_millis(200);

/// `dlock hold`
pub(crate) async fn hold(common: &Common, hold: &Hold) -> Result<u8, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::refused(error.to_string()))?;
    let locker = until_stopped(&mut signals, connect(common)).await??;
    let ended = keep(common, hold, &locker, &mut signals).await;
    close(locker, ended).await
}

async fn keep(
    common: &Common,
    hold: &Hold,
    locker: &Locker,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let mut lock = locker.lock(&hold.key).timeout(held::wait(hold.no_wait, hold.wait));
    if hold.shared {
        lock = lock.shared();
    }
    let acquire = with_progress(common, locker, &hold.key, lock.acquire());
    let guard = until_stopped(signals, acquire).await??;
    let ready = Ready::new(hold.ready_file.as_deref())?;
    if common.json {
        print([json!({ "held": hold.key, "fence": guard.fence() }).to_string()]);
    } else if !common.quiet {
        print([format!("held {}", guard.key())]);
    }
    let ended = until_unwanted(hold, &guard, signals).await;
    drop(ready);
    let released = guard.release().await;
    ended.and_then(|()| Ok(released.map(|()| 0)?))
}

/// Ends when nobody wants the lock any more, or when it is lost.
async fn until_unwanted(hold: &Hold, guard: &Guard, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        biased;
        info = guard.lost() => Err(dlock::Error::from(info).into()),
        signal = signals.recv() => Err(Failure::stopped(signal as i32)),
        () = has_gone(hold.parent) => Ok(()),
        () = stdin_has_closed(), if hold.parent.is_none() => Ok(()),
    }
}

/// Ends when this process is not there, or is another one of that number.
async fn has_gone(pid: Option<i32>) {
    let Some(pid) = pid else { return pending().await };
    let born = birth(pid);
    while nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None)
        != Err(nix::errno::Errno::ESRCH)
        && birth(pid) == born
    {
        sleep(LOOK).await;
    }
}

/// When a process was started, where the system tells.
fn birth(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it can have spaces and parentheses. One that has ended and is not reaped yet
    // is a zombie.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next().filter(|state| *state != "Z")?;
    fields.nth(18).filter(|_| !state.is_empty()).map(str::to_owned)
}

/// Reads it on a thread, for there may be no other way to wait for it.
async fn stdin_has_closed() {
    let (closed, wait) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut input = stdin().lock();
        while input.read(&mut buffer).is_ok_and(|read| read > 0) {}
        drop(closed);
    });
    // Closed, or the thread could not be had: its end is what is waited for.
    let _ = wait.await;
}

/// The file that says that the lock is held.
struct Ready<'a>(Option<&'a Path>);

impl<'a> Ready<'a> {
    fn new(path: Option<&'a Path>) -> Result<Self, Failure> {
        if let Some(path) = path {
            fs::write(path, format!("{}\n", std::process::id())).map_err(|error| {
                Failure::refused(format!("cannot write {}: {error}", path.display()))
            })?;
        }
        Ok(Ready(path))
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // Somebody else may have removed it.
            let _ = fs::remove_file(path);
        }
    }
}
