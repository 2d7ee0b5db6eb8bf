//! Processes that have little memory.

use std::path::{Path, PathBuf};

use crate::check::not_run;
use crate::process::Launch;
use crate::temp::unique;

/// Enough for a process that holds a lock.
const BYTES: u64 = 256 << 20;

/// A limit of what a process may have: that of a cgroup, whose processes the kernel slows down before it kills one; or
/// else one of the process's own, which it only notices when an allocation fails.
#[derive(Debug)]
pub struct MemoryLimit {
    cgroup: Option<PathBuf>,
}

impl MemoryLimit {
    /// In the cgroup (version 2, with the memory controller) that `DLOCK_TEST_CGROUP` names, tests make others.
    #[expect(clippy::new_without_default, reason = "it makes a cgroup")]
    pub fn new() -> Self {
        let parent = std::env::var("DLOCK_TEST_CGROUP")
            .map_err(|_| "DLOCK_TEST_CGROUP names none".to_owned());
        let made = parent.and_then(|parent| make(Path::new(&parent)));
        if let Err(why) = &made {
            let instead = "the limit is the process's own (RLIMIT_DATA)";
            not_run("a memory limit by a cgroup", &format!("{why}; {instead}"));
        }
        MemoryLimit { cgroup: made.ok() }
    }

    /// How to start a process under it.
    pub fn launch(&self) -> Launch {
        let script = match &self.cgroup {
            Some(cgroup) => format!("echo $$ >'{}/cgroup.procs'", cgroup.display()),
            None => format!("ulimit -d {}", BYTES >> 10),
        };
        let script = format!("{script} && exec \"$@\"");
        Launch::after(["sh", "-c", &script, "sh"].map(str::to_owned))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = std::fs::remove_dir(cgroup);
        }
    }
}

fn make(parent: &Path) -> Result<PathBuf, String> {
    let cgroup = parent.join(unique("dlock-test"));
    let limit = |file: &str, bytes: u64| std::fs::write(cgroup.join(file), bytes.to_string());
    std::fs::create_dir(&cgroup)
        .and_then(|()| limit("memory.max", BYTES))
        .and_then(|()| limit("memory.swap.max", 0))
        .map_err(|error| format!("no cgroup can be made in {}: {error}", parent.display()))?;
    Ok(cgroup)
}
