//! What the rows of a lease table show of locks.

use std::time::Duration;

use super::owner::read;
use crate::backend::{LockView, SessionView};
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::status::holder::{Holder, KEPT, foreign};

/// The lock that a row stands for. An `owner` of no characters is nobody: the lock was released, and
/// is kept from others for a while. `fence` is `None` where the table has none.
pub(crate) fn seen(
    key: NativeKey,
    owner: &str,
    fence: Option<i64>,
    held_for: Option<Duration>,
) -> LockView {
    let fence = fence.and_then(|fence| u64::try_from(fence).ok());
    let (who, data) = read(owner);
    let who = match (who, fence) {
        ("", _) => KEPT.to_owned(),
        (who, Some(fence)) => format!("owner {}, fence {fence}", foreign(who)),
        (who, None) => format!("owner {}", foreign(who)),
    };
    let holder = Holder { data: data.map(Into::into), ..Holder::new(who, held_for) };
    let lease = Some((owner.into(), fence));
    LockView {
        lock_id: LockId::exclusive(key),
        holders: vec![SessionView { id: None, lease, holder }],
        waiters: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_says_who_has_it_and_what_it_is_to_be_ended_by() {
        let key = || NativeKey::Name("k".into());
        let of = |owner, fence| seen(key(), owner, fence, Some(Duration::from_secs(7)));
        for (owner, fence, who) in [
            ("ada\n", Some(3), "owner ada\\n, fence 3"),
            ("ada\n", None, "owner ada\\n"),
            ("", Some(3), KEPT),
        ] {
            let seen = of(owner, fence);
            assert_eq!(seen.lock_id, LockId::exclusive(key()));
            let holders: Vec<_> = seen.holders.iter().map(|party| &party.holder).collect();
            assert_eq!(holders, [&Holder::new(who, Some(Duration::from_secs(7)))]);
            let lease = seen.holders.first().and_then(|party| party.lease.as_ref());
            let lease = lease.map(|(owner, fence)| (&**owner, *fence));
            assert_eq!(lease, Some((owner, fence.map(i64::unsigned_abs))));
        }
    }
}
