//! Makes a plan that fails shorter, as long as it fails.

use dlock_tests::random::{Finish, Plan, Step, Take};

/// The shortest plan that was found by dropping parts of this one. `fails`: the first of some plans
/// that still fails, if one does; `None` when there is no more time to ask. `keys`: what it is about,
/// `batch`: how many plans may be tried at once.
pub(crate) fn shrink(
    plan: Plan,
    keys: &[u8],
    batch: usize,
    mut fails: impl FnMut(&[Plan]) -> Option<Option<usize>>,
) -> Plan {
    let mut best = plan;
    let about = only_keys(&best, keys);
    if about != best && !keys.is_empty() {
        match fails(std::slice::from_ref(&about)) {
            None => return best,
            Some(Some(_)) => best = about,
            Some(None) => {}
        }
    }
    loop {
        let before = best.clone();
        for pass in [without_processes, without_troubles, without_tasks, without_steps, simpler] {
            let mut n = 0;
            loop {
                let mut candidates = Vec::new();
                let mut next = n;
                while candidates.len() < batch
                    && let Some(candidate) = pass(&best, next)
                {
                    next += 1;
                    if candidate != best {
                        candidates.push((next - 1, candidate));
                    }
                }
                let plans: Vec<Plan> = candidates.iter().map(|(_, plan)| plan.clone()).collect();
                if plans.is_empty() {
                    break;
                }
                match fails(&plans) {
                    None => return best,
                    // What comes after a part that was dropped has its number then.
                    Some(Some(first)) => (n, best) = candidates.swap_remove(first),
                    Some(None) => n = next,
                }
            }
        }
        if best == before {
            return best;
        }
    }
}

/// Without the locks that are about other keys.
fn only_keys(plan: &Plan, keys: &[u8]) -> Plan {
    let mut plan = plan.clone();
    for task in plan.processes.iter_mut().flat_map(|process| &mut process.tasks) {
        task.retain(|step| match step {
            Step::Take(take) => take.keys.iter().any(|key| keys.contains(key)),
            _ => false,
        });
    }
    plan
}

/// Each pass drops or changes its nth part; `None`: there is no such part.
fn without_processes(plan: &Plan, n: usize) -> Option<Plan> {
    plan.processes.get(n)?;
    let mut plan = plan.clone();
    // It stays with nothing to do: others are known by their numbers.
    plan.processes[n].tasks.clear();
    Some(plan)
}

fn without_troubles(plan: &Plan, n: usize) -> Option<Plan> {
    plan.troubles.get(n)?;
    let mut plan = plan.clone();
    plan.troubles.remove(n);
    Some(plan)
}

fn without_tasks(plan: &Plan, n: usize) -> Option<Plan> {
    let mut plan = plan.clone();
    let mut n = n;
    for process in &mut plan.processes {
        if n < process.tasks.len() {
            process.tasks.remove(n);
            return Some(plan);
        }
        n -= process.tasks.len();
    }
    None
}

/// First halves of tasks, then quarters, then single steps.
fn without_steps(plan: &Plan, n: usize) -> Option<Plan> {
    let mut n = n;
    for part in [2, 4, usize::MAX] {
        let mut plan = plan.clone();
        for process in &mut plan.processes {
            for task in &mut process.tasks {
                let size = (task.len() / part).max(1);
                let parts = task.len().div_ceil(size);
                if n < parts {
                    let from = n * size;
                    task.drain(from..(from + size).min(task.len()));
                    return Some(plan);
                }
                n -= parts;
            }
        }
    }
    None
}

/// Steps with fewer options, one after the other.
fn simpler(plan: &Plan, n: usize) -> Option<Plan> {
    let mut plan = plan.clone();
    let (step, way) = (n / WAYS.len(), n % WAYS.len());
    let mut takes =
        plan.processes.iter_mut().flat_map(|process| process.tasks.iter_mut().flatten());
    let step = takes.nth(step)?;
    if let Step::Take(take) = step {
        WAYS[way](take);
    }
    Some(plan)
}

const WAYS: [fn(&mut Take); 12] = [
    |take| take.inside.clear(),
    |take| take.on_lost = false,
    |take| take.probe = false,
    |take| take.min_hold = 0,
    |take| (take.solo, take.idle) = (None, 0),
    |take| take.cancel = None,
    |take| take.end = Finish::Release,
    |take| take.hold = 0,
    |take| take.after = 0,
    |take| (take.ttl, take.no_renew) = (0, false),
    |take| (take.owner, take.retry) = (false, 0),
    |take| take.reentrant = false,
];

#[cfg(test)]
mod tests {
    use dlock_tests::Backend;
    use dlock_tests::random::TroubleKind;

    use super::*;
    use crate::generate;
    use crate::style::Can;

    fn takes(plan: &Plan) -> impl Iterator<Item = &Take> {
        let steps = plan.processes.iter().flat_map(|process| process.tasks.iter().flatten());
        steps.filter_map(|step| if let Step::Take(take) = step { Some(take) } else { None })
    }

    /// Two steps that need each other are found among all others, and nothing else is left.
    #[test]
    fn leaves_what_the_failure_needs() {
        let mut shrunk = 0;
        for seed in 0..200 {
            let plan = generate::plan(seed, Can::of(Backend::Postgres));
            let fails = |plan: &Plan| {
                takes(plan).any(|take| take.min_hold > 0 && take.cancel.is_some())
                    && takes(plan).any(|take| take.permits > 1)
            };
            if !fails(&plan) {
                continue;
            }
            shrunk += 1;
            let small = shrink(plan, &[], 3, |plans| Some(plans.iter().position(fails)));
            assert!(fails(&small));
            assert!(small.steps() <= 2, "{}", small.to_text());
            assert!(small.troubles.is_empty());
            assert!(takes(&small).all(|take| take.inside.is_empty() && !take.probe));
        }
        assert!(shrunk > 5, "only {shrunk}");
    }

    #[test]
    fn keeps_the_troubles_that_it_needs() {
        let kills = |plan: &Plan| {
            plan.troubles.iter().any(|trouble| matches!(trouble.what, TroubleKind::Kill(_)))
        };
        let plans = (0..400).map(|seed| generate::plan(seed, Can::of(Backend::Postgres)));
        let plan = plans.into_iter().find(|plan| kills(plan)).unwrap();
        let small = shrink(plan, &[], 4, |plans| Some(plans.iter().position(kills)));
        assert_eq!((small.troubles.len(), small.steps()), (1, 0));
    }

    #[test]
    fn ends_when_there_is_no_more_time() {
        let plan = generate::plan(3, Can::of(Backend::Sqlite));
        let mut asked = 0;
        let small = shrink(plan.clone(), &[0], 2, |_| {
            asked += 1;
            (asked < 5).then_some(None)
        });
        assert_eq!((asked, small), (5, plan));
    }
}
