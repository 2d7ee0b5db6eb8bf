//! What is done when all is over: everything that was used is taken, to its last permit.

use std::time::Duration;

use dlock_tests::random::{LockerPlan, Patience, Plan, Process, Step, Take};

/// The plan that takes each key of another one that is free, to its last permit, and waits this long.
pub(crate) fn plan(plan: &Plan, is_free: impl Fn(&u8) -> bool, wait: Duration) -> Plan {
    let wait = u64::try_from(wait.as_millis()).unwrap();
    let mut permits = [0_u32; 256];
    let mut used = [false; 256];
    for step in plan.processes.iter().flat_map(|process| process.tasks.iter().flatten()) {
        let Step::Take(take) = step else { continue };
        for key in &take.keys {
            used[usize::from(*key)] = true;
            let most = &mut permits[usize::from(*key)];
            *most = take.permits.max(*most);
        }
    }
    let mut tasks = Vec::new();
    for key in (0..=255).filter(|key| used[usize::from(*key)] && is_free(key)) {
        let permits = permits[usize::from(key)];
        for _ in 0..permits.max(1) {
            tasks.push(vec![Step::Take(Take {
                keys: vec![key],
                permits,
                wait: Patience::For(wait),
                // They must have all at once.
                hold: if permits > 1 { wait + 300 } else { 0 },
                ..Take::default()
            })]);
        }
    }
    let lockers = vec![LockerPlan::default()];
    let process = Process { lockers, tasks, ..Process::default() };
    Plan { ttl: plan.ttl, processes: vec![process], troubles: Vec::new() }
}
