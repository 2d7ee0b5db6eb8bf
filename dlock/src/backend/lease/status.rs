//! What the rows of a lease table show of locks.

use std::time::Duration;

use super::owner::read;
use crate::backend::{LockView, SessionView};
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::holder::{Holder, KEPT, foreign};

/// A row of a lease that is held, as it was read.
pub(crate) struct Row {
    pub(crate) name: String,
    /// No characters, as NULL, are nobody: the lock was released, and is kept from others for a while.
    pub(crate) owner: Option<String>,
    /// `None` where the table has none.
    pub(crate) fence: Option<i64>,
    pub(crate) held_for: Option<Duration>,
}

/// The lock that a row stands for; `of`: the key that was asked for, which the table may write in
/// another way.
pub(crate) fn seen(row: Row, of: Option<&NativeKey>) -> LockView {
    let Row { name, owner, fence, held_for } = row;
    let key = of.cloned().unwrap_or(NativeKey::Name(name));
    let owner = owner.unwrap_or_default();
    let fence = fence.and_then(|fence| u64::try_from(fence).ok());
    let (who, data) = read(&owner);
    let who = match (who, fence) {
        ("", _) => KEPT.to_owned(),
        (who, Some(fence)) => format!("owner {}, fence {fence}", foreign(who)),
        (who, None) => format!("owner {}", foreign(who)),
    };
    let holder = Holder { data: data.map(Into::into), ..Holder::new(who, held_for) };
    let lease = Some((owner.as_str().into(), fence));
    let holders = vec![SessionView { id: None, lease, holder }];
    LockView { holders, ..LockView::new(LockId::exclusive(key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_says_who_has_it_and_what_it_is_to_be_ended_by() {
        let held_for = Some(Duration::from_secs(7));
        let of = |owner: &str, fence| {
            seen(Row { name: "k".into(), owner: Some(owner.into()), fence, held_for }, None)
        };
        for (owner, fence, who) in [
            ("ada\n", Some(3), "owner ada\\n, fence 3"),
            ("ada\n", None, "owner ada\\n"),
            ("", Some(3), KEPT),
        ] {
            let seen = of(owner, fence);
            assert_eq!(seen.lock_id, LockId::exclusive(NativeKey::Name("k".into())));
            let holders: Vec<_> = seen.holders.iter().map(|party| &party.holder).collect();
            assert_eq!(holders, [&Holder::new(who, held_for)]);
            let lease = seen.holders.first().and_then(|party| party.lease.as_ref());
            let lease = lease.map(|(owner, fence)| (&**owner, *fence));
            assert_eq!(lease, Some((owner, fence.map(i64::unsigned_abs))));
        }
    }
}
