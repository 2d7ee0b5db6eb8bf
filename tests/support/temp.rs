//! A folder that goes with its test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty folder, removed on drop.
#[derive(Debug)]
pub struct Temp(PathBuf);

impl Temp {
    /// Makes one.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(unique("dlock-tests"));
        std::fs::create_dir(&path).unwrap();
        Temp(path)
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A name that no other test on this machine uses now.
pub fn unique(what: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let n = LAST.fetch_add(1, Ordering::Relaxed);
    // Another container may use the same server and have the same process ids.
    format!("{what}-{}-{n}-{:08x}", std::process::id(), fastrand::u32(..))
}
