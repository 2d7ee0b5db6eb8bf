//! Giving a row to another owner.

use super::options::ResolvedOptions;
use crate::backend::lease::{Lease, Owner};
use crate::engine::lock_table::{GrantId, RequestId, Ticket};

/// A row that is to have another owner.
#[derive(Debug)]
pub struct OwnLease {
    /// As it is, and how long it is to last.
    pub lease: Lease,
    /// Who is to have it.
    pub to: Owner,
    pub(super) goal: Goal,
}

/// What that is for.
#[derive(Debug)]
pub(super) enum Goal {
    /// It waits for whoever has the token.
    Token { hold: GrantId, resolved: ResolvedOptions },
    /// This caller has it.
    Adopt { ticket: Ticket, request: RequestId, resolved: ResolvedOptions },
}

impl OwnLease {
    /// What the row is when it was done.
    pub(super) fn done(&self, fence: Option<u64>) -> Lease {
        Lease { owner: self.to.clone(), fence, ..self.lease.clone() }
    }
}
