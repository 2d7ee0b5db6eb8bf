//! The tasks of a process, and the calls they make without blocking.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dlock::Error;
use dlock_tests::random::{Again, Finish, How, Inside, Outcome, Patience, Solo, Step, Take, What};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::blocking;
use super::env::{Env, On, outcome};
use super::held::Call;
use super::moment::{caught, cut, pause};
use super::target::{Any, Look, Target};

/// How often a holder looks whether it still has its lock.
const PAUSE: Duration = Duration::from_millis(5);

/// Guards that outlive the body they were taken in, and the calls they came of.
pub(crate) type Kept = Vec<(String, Any)>;

/// Goes through all tasks side by side.
pub(crate) async fn all(env: Arc<Env>, tasks: Vec<Vec<Step>>) {
    let mut set = JoinSet::new();
    for (t, steps) in tasks.into_iter().enumerate() {
        let env = Arc::clone(&env);
        set.spawn(async move {
            for (s, step) in steps.into_iter().enumerate() {
                step_of(&env, &format!("{t}.{s}"), step).await;
            }
        });
    }
    while let Some(ended) = set.join_next().await {
        ended.unwrap();
    }
}

async fn step_of(env: &Arc<Env>, id: &str, step: Step) {
    match step {
        Step::Take(take) => {
            pause(Duration::from_micros(take.after)).await;
            whole(env, id, take).await;
        }
        Step::Status(n, after) => {
            sleep(Duration::from_millis(after)).await;
            let Some(on) = env.locker(n) else { return };
            env.journal.write(id, &What::Status);
            match on.locker.status().await {
                Ok(_) => env.journal.write(id, &What::Answered),
                Err(error) => env.journal.write(id, &What::Ends(outcome(&error))),
            }
        }
        Step::Close(n, after) => {
            sleep(Duration::from_millis(after)).await;
            env.close(n).await;
        }
        Step::EndRuntime(n, after) => {
            sleep(Duration::from_millis(after)).await;
            env.end_runtime(n);
        }
    }
}

/// One step: on its locker or on one of its own, and a probe after it.
async fn whole(env: &Arc<Env>, id: &str, take: Take) {
    let on = match take.solo {
        None => env.locker(take.locker),
        Some(_) => match env.solo(id).await {
            Ok(on) => Some(on),
            Err(error) => {
                env.journal.write(id, &What::Ends(outcome(&error)));
                None
            }
        },
    };
    let Some(on) = on else { return };
    if take.idle > 0 {
        sleep(Duration::from_millis(take.idle)).await;
    }
    let label = on.label.clone();
    if !take.how.is_blocking() {
        use_lock(env, on, id, &take, (false, false)).await;
    } else if take.inline {
        blocking::use_lock(env, &on, id, &take, (false, false));
    } else {
        let (env, id, take) = (Arc::clone(env), id.to_owned(), take.clone());
        let ended = spawn_blocking(move || {
            blocking::use_lock(&env, &on, &id, &take, (false, false));
        });
        ended.await.unwrap();
    }
    if take.probe
        && let Some(on) = env.beside(&label)
    {
        for key in &take.keys {
            let probe = Take {
                keys: vec![*key],
                shared: take.shared,
                permits: take.permits,
                how: How::Try,
                ..Take::default()
            };
            let id = format!("{id}?{key}");
            use_lock(env, on.clone(), &id, &probe, (false, false)).await;
        }
    }
}

/// The call that takes a lock again under it.
pub(crate) fn again(outer: &Take, how: &Again) -> Take {
    Take {
        keys: outer.keys.clone(),
        together: outer.together,
        shared: outer.shared,
        permits: if how.plain { 0 } else { outer.permits },
        min_hold: how.min_hold,
        reentrant: how.reentrant,
        on_lost: how.on_lost,
        wait: Patience::For(50),
        how: how.how,
        inline: true,
        ..Take::default()
    }
}

type Boxed<'a> = Pin<Box<dyn Future<Output = Option<Any>> + Send + 'a>>;

/// Uses a lock from begin to end; one that is to be kept comes back.
fn use_lock<'a>(
    env: &'a Arc<Env>,
    on: On,
    id: &'a str,
    take: &'a Take,
    (under, keep): (bool, bool),
) -> Boxed<'a> {
    Box::pin(async move {
        if take.how.is_blocking() {
            return blocking::use_lock(env, &on, id, take, (under, keep));
        }
        let call = Call::new(id, &env.journal);
        let asks = What::Asks { locker: on.label.clone(), under, take: Box::new(take.clone()) };
        let target = Target::of(&on, take, id, &env.journal);
        env.journal.write(id, &asks);
        if take.how == How::Run {
            run(env, &on, &call, &target, take).await;
            return None;
        }
        let Some(answer) = cut(take.cancel, target.get(take.how.is_try())).await else {
            call.ends(Outcome::Cancelled);
            return None;
        };
        let guard = call.answered(answer)?;
        drop(target);
        let kept = inside(env, &on, &call, &guard, take, false).await;
        if keep {
            return Some(guard);
        }
        let solo = take.solo;
        match solo {
            Some(Solo::Closed) => env.close_one(on).await,
            Some(Solo::Dropped) => drop(on),
            _ => {
                end(&call, guard, take.end).await;
                finish(env, kept).await;
                return None;
            }
        }
        end(&call, guard, take.end).await;
        finish(env, kept).await;
        None
    })
}

async fn end(call: &Call<'_>, guard: Any, how: Finish) {
    match call.finish_at_once(guard, how) {
        Some(guard) if how == Finish::ReleaseBlocking => {
            call.released(guard.release_blocking());
        }
        Some(guard) => drop(call.released(guard.release().await)),
        None => {}
    }
}

async fn finish(env: &Env, kept: Kept) {
    for (id, guard) in kept {
        end(&Call::new(&id, &env.journal), guard, Finish::Release).await;
    }
}

async fn run(env: &Arc<Env>, on: &On, call: &Call<'_>, target: &Target, take: &Take) {
    let answer = match target {
        Target::One(lock) => {
            let run = lock.run(async |guard| body(env, on, call, guard, take).await);
            caught(cut(take.cancel, run)).await
        }
        Target::Many(lock) => {
            let run = lock.run(async |guard| body(env, on, call, guard, take).await);
            caught(cut(take.cancel, run)).await
        }
    };
    match answer {
        // The body has written down that it panics.
        None => {}
        Some(None) => call.ends(Outcome::Cancelled),
        Some(Some(answer)) => finish(env, call.released(answer).unwrap_or_default()).await,
    }
}

async fn body(env: &Arc<Env>, on: &On, call: &Call<'_>, guard: &impl Look, take: &Take) -> Kept {
    call.mark(guard);
    let kept = inside(env, on, call, guard, take, true).await;
    blocking::last(call, guard, take);
    kept
}

/// What happens while the lock is held. Guards of the same lock that are to outlive it come back.
async fn inside(
    env: &Arc<Env>,
    on: &On,
    call: &Call<'_>,
    guard: &impl Look,
    take: &Take,
    under: bool,
) -> Kept {
    let mut kept = Vec::new();
    for (n, act) in take.inside.iter().enumerate() {
        match act {
            Inside::Verify => lost_if(call, guard.ask().await),
            Inside::Protect => {
                let body = async {
                    sleep(Duration::from_millis(2)).await;
                    call.mark(guard);
                };
                lost_if(call, guard.keep(body).await);
            }
            Inside::Again(how) => {
                let id = format!("{}/{n}", call.id);
                let inner = again(take, how);
                if let Some(guard) = use_lock(env, on.clone(), &id, &inner, (under, how.kept)).await
                {
                    kept.push((id, guard));
                }
            }
        }
        call.mark(guard);
    }
    let end = Instant::now() + Duration::from_millis(take.hold);
    while Instant::now() < end && call.mark(guard) {
        sleep(PAUSE.min(end.saturating_duration_since(Instant::now()))).await;
    }
    kept
}

fn lost_if(call: &Call<'_>, answer: Result<(), Error>) {
    if answer.is_err() {
        call.told();
    }
}
