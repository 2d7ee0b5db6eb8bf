//! How long an answer may be.
//!
//! A server that has gone wrong, or something between that answers in its place, may send rows
//! without end. Drivers keep all of them. Here an answer that is longer than any that dlock asks for
//! is an error, and no error of the server's: so it ends the session, whose rest nobody reads.

/// How many rows an answer may have: the longest one is the list of all locks of a large server.
const ROWS_MAX: usize = 100_000;
/// How many bytes all these rows together may have.
const BYTES_MAX: usize = 64 << 20;
/// What a driver keeps of a column, whatever is in it.
const COLUMN_SIZE: usize = 32;

/// How much of an answer has come.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    rows: usize,
    bytes: usize,
}

impl Bounds {
    /// Counts a row with columns of these sizes, or the end of a statement: there can be statements
    /// without end that have no rows.
    ///
    /// # Errors
    /// When there is more than any answer has.
    pub(crate) fn add(&mut self, columns: impl Iterator<Item = usize>) -> Result<(), TooLong> {
        self.rows += 1;
        // The first row is there as it is, and mostly the only one.
        if self.rows > 1 {
            self.bytes += columns.map(|size| COLUMN_SIZE + size).sum::<usize>();
        }
        if self.rows > ROWS_MAX {
            return Err(TooLong::Rows);
        }
        if self.bytes > BYTES_MAX {
            return Err(TooLong::Bytes);
        }
        Ok(())
    }
}

/// An answer that is longer than any that dlock asks for.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum TooLong {
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    #[error("the server's answer is longer than one row, and goes on")]
    OneRow,
    #[error("the server's answer is longer than {ROWS_MAX} rows, and goes on")]
    Rows,
    #[error("the server's answer is longer than {BYTES_MAX} bytes, and goes on")]
    Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_bytes_have_a_bound() {
        let mut rows = Bounds::default();
        assert!((0..ROWS_MAX).all(|_| rows.add([1].into_iter()).is_ok()));
        assert!(rows.add([1].into_iter()).is_err());
        let mut bytes = Bounds::default();
        let many = || std::iter::repeat_n(0, 60_000);
        let read = (0..ROWS_MAX).take_while(|_| bytes.add(many()).is_ok()).count();
        assert!((30..40).contains(&read), "{read} rows of nothing but columns");
    }
}
