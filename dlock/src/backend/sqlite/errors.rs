//! What can go wrong with the file.

use std::error::Error as StdError;
use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;

use super::{File, Sqlite};
use crate::backend::lease::Failure;
use crate::error::Error;

/// The identity of what is not there.
const GONE: (u64, u64) = (0, 0);

impl Sqlite {
    /// What SQLite's result code means: <https://www.sqlite.org/rescode.html>.
    pub(super) fn failure(&self, error: sqlx::Error) -> Failure {
        const DBMOVED: u32 = 1032;
        let code = match &error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => {
                return Failure::Failed(self.unavailable(error));
            }
            _ => None,
        };
        let backend = &*self.label;
        // The low byte is the kind of trouble, the rest its details.
        match code.map(|code| (code, code & 0xff)) {
            // BUSY, LOCKED, PROTOCOL: somebody else reads, writes or recovers.
            Some((_, 5 | 6 | 15)) => Failure::Busy(self.unavailable(error)),
            // CANTOPEN.
            Some((_, 14)) => Failure::Failed(self.unavailable(IoError::other(format!(
                "{error}; its folder must be there, and this process must be able to write it, for \
                 SQLite makes files beside the database"
            )))),
            // IOERR, FULL: the disk's trouble, and it may pass.
            Some((_, 10 | 13) | (DBMOVED, _)) => Failure::Failed(self.unavailable(error)),
            // PERM, READONLY, AUTH.
            Some((_, 3 | 8 | 23)) => Failure::Failed(Error::permission(
                backend,
                "this process must be able to write the file and to make files beside it",
                Arc::new(error),
            )),
            // NOTADB.
            Some((_, 26)) => Failure::Failed(Error::config(format!(
                "{backend} is not an SQLite database; name another file, or one that is not there yet"
            ))),
            _ => Failure::Failed(Error::backend(backend, Arc::new(error))),
        }
    }

    fn unavailable(&self, error: impl StdError + Send + Sync + 'static) -> Error {
        Error::unavailable(&self.label, error)
    }

    /// Makes sure that the name still leads to the file that is open. SQLite would go on with one
    /// that was deleted or replaced, and never meet the processes that have opened the new one.
    pub(super) fn same_file(&self, file: &File) -> Result<(), Failure> {
        let identity = self.identity();
        if identity == file.identity && identity != Some(GONE) {
            return Ok(());
        }
        let moved = IoError::new(ErrorKind::NotFound, "the file was moved, deleted or replaced");
        Err(Failure::Failed(self.unavailable(moved)))
    }

    /// What the name leads to, where that can be told. The file is not opened: closing it again
    /// would drop this process' locks on it (<https://www.sqlite.org/howtocorrupt.html>).
    #[cfg(unix)]
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        use std::os::unix::fs::MetadataExt as _;
        let file = self.options.get_filename();
        if file.to_str().is_some_and(|file| file.starts_with("file:")) {
            return None;
        }
        Some(std::fs::metadata(file).map_or(GONE, |file| (file.dev(), file.ino())))
    }

    /// An open file cannot be moved or deleted here.
    #[cfg(not(unix))]
    pub(super) fn identity(&self) -> Option<(u64, u64)> {
        None
    }
}
