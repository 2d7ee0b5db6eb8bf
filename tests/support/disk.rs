//! A small disk of a test's own, to be filled: a file system in memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system that is full when a test says so. One that the test has mounted goes on drop.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Mounts one of that size, such as "1m", on a folder; `None` where this user may not.
    pub fn mount(folder: &Path, size: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder);
        let done = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        done.then(|| Disk { path: folder.to_owned(), mounted: true })
    }

    /// The one that is mounted there already, by somebody else.
    pub(crate) fn at(folder: &Path) -> Self {
        Disk { path: folder.to_owned(), mounted: false }
    }

    /// Whether nothing can be written to it any more, not even by root.
    pub fn make_read_only(&self) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", "remount,ro"]).arg(&self.path);
        mount.status().is_ok_and(|status| status.success())
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.rubbish()).unwrap();
        let block = vec![0; 1 << 16];
        while file.write_all(&block).is_ok() {}
    }

    /// Gives that room back.
    pub fn free(&self) {
        std::fs::remove_file(self.rubbish()).unwrap();
    }

    fn rubbish(&self) -> PathBuf {
        self.path.join("rubbish")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.path).status();
        }
    }
}
