//! What becomes the command: on Linux, the kernel kills it if we are killed, for then nobody keeps
//! its lock.
//!
//! That must be asked for by the process itself, before it becomes the command. It is this program
//! once more, under another first argument.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The argument.
const AS_SHIM: &str = "__exec";
/// As shells have it.
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What is to be spawned for a command.
pub(crate) fn command(words: &[OsString]) -> Command {
    if cfg!(target_os = "linux") && std::fs::metadata("/proc/self/exe").is_ok() {
        let mut shim = Command::new("/proc/self/exe");
        shim.arg0("dlock").arg(AS_SHIM).arg(std::process::id().to_string()).args(words);
        return shim;
    }
    let mut words = words.iter();
    let mut command = Command::new(words.next().cloned().unwrap_or_default());
    command.args(words);
    command
}

/// Becomes the command, if that is what this process was started for.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != AS_SHIM {
        return None;
    }
    let parent: i32 = words.next()?.to_str()?.parse().ok()?;
    let program = words.next()?;
    if !dies_with(parent) {
        return Some(ExitCode::from(NOT_RUNNABLE));
    }
    let error = Command::new(&program).args(words).exec();
    Some(ExitCode::from(cannot_run(&program, &error)))
}

/// Says why the command does not run; its exit status.
pub(crate) fn cannot_run(program: &OsString, error: &std::io::Error) -> u8 {
    eprintln!("dlock: cannot run {}: {error}", program.display());
    if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE }
}

/// Has the kernel kill this process when its parent has gone. `false` if it has gone already.
#[cfg(target_os = "linux")]
fn dies_with(parent: i32) -> bool {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;
    // Where that is not to be had, the command runs all the same.
    let _ = set_pdeathsig(Signal::SIGKILL);
    nix::unistd::getppid().as_raw() == parent
}

#[cfg(not(target_os = "linux"))]
fn dies_with(_: i32) -> bool {
    true
}
