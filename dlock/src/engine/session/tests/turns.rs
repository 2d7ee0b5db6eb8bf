//! How often the engine looks at what there is to do.

use super::*;
use crate::backend::scripted::Fate;
use crate::engine::{Executor as _, Limits, Sessions};
use crate::spec::lock_id::LockId;
use crate::spec::native::NativeKey;
use crate::spec::options::LockOptions;
use std::sync::Arc;

/// Connections are accepted and never answered: nothing is to be done, so nothing is looked at.
#[tokio::test]
async fn server_that_never_answers_is_waited_for_and_not_asked_after() {
    let fake = Scripted::new("memory:turns");
    let (connect, slice) = (LIMIT, Duration::from_secs(30));
    let limits = Limits { connect, sessions: 8, keys: 9, slice };
    let mut sessions =
        Sessions::open(Arc::new(fake.clone()), limits, Arc::default()).await.unwrap();
    let (mut ended, mut refused) = (false, false);
    fake.script(move |call| match call {
        Call::Batch(_) if !std::mem::replace(&mut ended, true) => Fate::Ends,
        // So that the next one is tried after a pause, which is over long before it answers.
        Call::Open if !std::mem::replace(&mut refused, true) => Fate::Ends,
        Call::Open => Fate::Silent,
        _ => Fate::Done,
    });
    let (mut reports, mut turns) = (Vec::new(), 0);
    sessions.try_lock(LockId::exclusive(NativeKey::Id(1)), 1, &LockOptions::default());
    let until = tokio::time::Instant::now() + Duration::from_secs(1);
    loop {
        sessions.flush();
        if tokio::time::timeout_at(until, sessions.recv(&mut reports)).await.is_err() {
            break;
        }
        if reports.drain(..).next().is_some() {
            sessions.try_lock(LockId::exclusive(NativeKey::Id(1)), 2, &LockOptions::default());
        }
        turns += 1;
    }
    assert!(turns < 50, "{turns} turns");
}
