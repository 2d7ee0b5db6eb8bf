//! A wall clock that a test can set, for processes that it starts.

use std::path::PathBuf;

use crate::temp::Temp;

/// Where Debian's packages have it.
const FOLDERS: [&str; 2] = ["/usr/lib", "/usr/local/lib"];

/// The wall clock of the processes that are started with its environment: libfaketime sets it,
/// and leaves alone the clocks that only go on.
#[derive(Debug)]
pub struct Wall {
    library: PathBuf,
    folder: Temp,
}

impl Wall {
    /// One that goes right, as yet; `None` where the library is not installed.
    pub fn new() -> Option<Self> {
        let wall = Wall { library: library()?, folder: Temp::new() };
        wall.set(0);
        Some(wall)
    }

    /// Sets it off by so many seconds from now on.
    pub fn set(&self, seconds: i64) {
        let next = self.folder.file("next");
        std::fs::write(&next, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(next, self.folder.file("offset")).unwrap();
    }

    /// What a process needs to have this clock.
    pub(crate) fn env(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.folder.file("offset")),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}

fn library() -> Option<PathBuf> {
    let folders = FOLDERS.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let folders = folders.filter_map(Result::ok).map(|folder| folder.path());
    let libraries = folders.chain(FOLDERS.map(PathBuf::from));
    libraries.map(|path| path.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}
