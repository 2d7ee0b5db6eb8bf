//! Calls that block, on whatever thread they are made.

use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use dlock_tests::random::{Finish, How, Inside, Letting, Take, What};

use super::PLANNED;
use super::env::{Env, On};
use super::held::Call;
use super::target::{Any, Look, Target};
use super::tasks::{Kept, again};

const PAUSE: Duration = Duration::from_millis(5);

/// Uses a lock from begin to end; one that is to be kept comes back.
pub(crate) fn use_lock(
    env: &Arc<Env>,
    on: &On,
    id: &str,
    take: &Take,
    (under, keep): (bool, bool),
) -> Option<Any> {
    let call = Call::new(id, &env.journal);
    let asks = What::Asks { locker: on.label.clone(), under, take: Box::new(take.clone()) };
    let target = Target::of(on, take, id, &env.journal);
    env.journal.write(id, &asks);
    if take.how == How::RunBlocking {
        // The body has written down that it panics.
        let _ = catch_unwind(AssertUnwindSafe(|| run(env, on, &call, &target, take)));
        return None;
    }
    let guard = call.answered(target.get_blocking(take.how.is_try()))?;
    drop(target);
    let kept = inside(env, on, &call, &guard, take, false);
    if keep {
        return Some(guard);
    }
    if let Some(guard) = call.finish_at_once(guard, take.end) {
        call.released(guard.release_blocking());
    }
    finish(env, kept);
    None
}

fn run(env: &Arc<Env>, on: &On, call: &Call<'_>, target: &Target, take: &Take) {
    let answer = match target {
        Target::One(lock) => lock.run_blocking(|guard| body(env, on, call, guard, take)),
        Target::Many(lock) => lock.run_blocking(|guard| body(env, on, call, guard, take)),
    };
    finish(env, call.released(answer).unwrap_or_default());
}

fn body(env: &Arc<Env>, on: &On, call: &Call<'_>, guard: &impl Look, take: &Take) -> Kept {
    call.mark(guard);
    let kept = inside(env, on, call, guard, take, true);
    last(call, guard, take);
    kept
}

/// The last that a body does.
pub(crate) fn last(call: &Call<'_>, guard: &impl Look, take: &Take) {
    call.mark(guard);
    if take.end == Finish::Panic {
        call.lets(Letting::Dropped);
        panic_any(PLANNED);
    }
    call.lets(Letting::Awaited);
}

/// Ends those that have outlived their body.
fn finish(env: &Env, kept: Kept) {
    for (id, guard) in kept {
        let call = Call::new(&id, &env.journal);
        if let Some(guard) = call.finish_at_once(guard, Finish::Release) {
            call.released(guard.release_blocking());
        }
    }
}

/// What happens while the lock is held. Guards of the same lock that are to outlive it come back.
fn inside(
    env: &Arc<Env>,
    on: &On,
    call: &Call<'_>,
    guard: &impl Look,
    take: &Take,
    under: bool,
) -> Kept {
    let mut kept = Vec::new();
    for (n, act) in take.inside.iter().enumerate() {
        // To verify and to protect have no blocking form yet.
        let Inside::Again(how) = act else { continue };
        let mut inner = again(take, how);
        inner.how = match inner.how {
            How::Try | How::TryBlocking => How::TryBlocking,
            How::Acquire | How::AcquireBlocking => How::AcquireBlocking,
            How::Run | How::RunBlocking => How::RunBlocking,
        };
        let id = format!("{}/{n}", call.id);
        if let Some(guard) = use_lock(env, on, &id, &inner, (under, how.kept)) {
            kept.push((id, guard));
        }
        call.mark(guard);
    }
    let end = Instant::now() + Duration::from_millis(take.hold);
    while Instant::now() < end && call.mark(guard) {
        sleep(PAUSE.min(end.saturating_duration_since(Instant::now())));
    }
    kept
}
