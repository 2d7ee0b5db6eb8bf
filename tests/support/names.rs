//! Names of hosts whose addresses a test can change, for processes that it starts.

use std::path::PathBuf;
use std::process::Command;

use crate::process::Launch;
use crate::temp::Temp;

/// What a process sees as `/etc/hosts`: it is started in a mount namespace of its own, where this file is in its place.
#[derive(Debug)]
pub struct Names {
    folder: Temp,
}

impl Names {
    /// None, as yet; `None` where no mount namespace can be made, for which root is needed.
    pub fn new() -> Option<Self> {
        let names = Names { folder: Temp::new() };
        std::fs::write(names.file(), "").unwrap();
        let mut tried = Command::new("unshare");
        tried.args(names.command().into_iter().skip(1)).arg("true");
        tried.output().is_ok_and(|tried| tried.status.success()).then_some(names)
    }

    /// Has the name lead to this address from now on.
    pub fn set(&self, name: &str, address: &str) {
        // The same file: another one would not be what is mounted.
        std::fs::write(self.file(), format!("{address} {name}\n")).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.folder.file("hosts")
    }

    /// Starts a process so that it knows these names.
    pub fn launch(&self) -> Launch {
        Launch::after(self.command())
    }

    fn command(&self) -> Vec<String> {
        let mount = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
        let command = ["unshare", "--mount", "--", "sh", "-c", mount];
        let file = self.file().display().to_string();
        command.into_iter().map(Into::into).chain([file]).collect()
    }
}
