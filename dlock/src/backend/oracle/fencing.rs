//! Fencing tokens: a counter for each key, in its row of the lease table, drawn in the block that takes
//! the lock, and committed by itself.

use super::connection::Unanswered;
use super::errors::is_right;
use super::session::Session;
use super::{Oracle, table};
use crate::backend::errors::ErrorKind;
use crate::error::{Error, Result};

impl Oracle {
    /// Makes sure that there is a table to draw from.
    pub(super) async fn prepare_tokens(&self, session: &mut Session) -> Result<()> {
        if !session.fences {
            let limit = self.patience();
            table::prepare(&self.label, &self.tokens, &session.connection, limit).await?;
            session.fences = true;
        }
        Ok(())
    }

    /// Why nothing of a block was done.
    pub(super) fn not_done(&self, session: &mut Session, error: Unanswered) -> Error {
        if session.fences && is_right(error.kind()) {
            // What is without tokens goes on; the table may be made anew.
            session.fences = false;
            if error.kind() != ErrorKind::NoTable {
                return table::no_right(&self.label, &self.tokens, error.into_source());
            }
        }
        error.into_error(&self.label)
    }
}
