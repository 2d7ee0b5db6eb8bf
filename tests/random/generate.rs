//! Makes plans out of seeds. Each plan uses some of the options only, and those often: so that a few
//! that need each other to go wrong meet within seconds.

use dlock_tests::random::{
    Again, End, Finish, How, Inside, LockerPlan, Patience, Plan, Process, Solo, Step, Take,
    Trouble, TroubleKind,
};
use fastrand::Rng;

use crate::style::{Can, Class, Style, percent};

/// The time to live of sessions and leases, in milliseconds.
pub(crate) const TTL: u64 = 2000;
/// Nobody waits for the end of such a `min_hold`: the grant must not have been given.
const HOUR: u64 = 3_600_000;

/// The plan of a seed.
pub(crate) fn plan(seed: u64, can: Can) -> Plan {
    let rng = &mut Rng::with_seed(seed);
    let style = Style::of(rng, can);
    let processes = if can.processes { rng.usize(1..=3) } else { 1 };
    let processes: Vec<Process> = (0..processes).map(|_| process(rng, &style)).collect();
    let troubles = if can.processes { troubles(rng, processes.len(), can) } else { Vec::new() };
    Plan { ttl: TTL, processes, troubles }
}

fn process(rng: &mut Rng, style: &Style) -> Process {
    let most = if style.can.processes { 5 } else { 8 };
    let tasks = rng.usize(1..=most);
    let cut = if percent(rng, 10) { rng.u64(100..1500) } else { 0 };
    let lockers: Vec<LockerPlan> = (0..rng.usize(1..=2))
        .map(|_| LockerPlan {
            sessions: [0, 0, 1, 2, 8][rng.usize(0..5)],
            runtime: style.closes && percent(rng, 30) || percent(rng, 10),
        })
        .collect();
    let steps = if tasks > 3 { 4..=8 } else { 5..=12 };
    let mut process = Process {
        threads: [0, 1, 2, 3][rng.usize(0..4)],
        lockers,
        tasks: Vec::new(),
        end: [End::Close, End::Close, End::Return, End::Exit][rng.usize(0..4)],
        cut,
    };
    // What is in memory is judged by the process itself; and to close waits for what is kept.
    let needed = !style.can.processes && process.end == End::Exit;
    if needed || style.hour && process.end == End::Close {
        process.end = End::Return;
    }
    for _ in 0..tasks {
        let steps = rng.usize(steps.clone());
        let task = (0..steps).map(|_| step(rng, style, &process)).collect();
        process.tasks.push(task);
    }
    process
}

fn step(rng: &mut Rng, style: &Style, process: &Process) -> Step {
    let locker = rng.usize(0..process.lockers.len());
    match rng.u32(0..100) {
        0..2 => Step::Status(locker, rng.u64(0..50)),
        2 if style.closes => Step::Close(locker, rng.u64(0..300)),
        3 if style.closes => Step::EndRuntime(locker, rng.u64(0..300)),
        _ => Step::Take(take(rng, style, process, locker)),
    }
}

fn take(rng: &mut Rng, style: &Style, process: &Process, locker: usize) -> Take {
    let key = rng.usize(0..style.classes.len());
    let mut take = Take {
        locker,
        keys: vec![u8::try_from(key).unwrap()],
        after: some_time(rng, 20_000),
        hold: if percent(rng, style.long) { rng.u64(100..600) } else { some_time(rng, 20) },
        ..Take::default()
    };
    class_of(rng, style, &mut take, style.classes[key]);
    call_of(rng, style, process, &mut take);
    if percent(rng, style.min_hold) && !take.together {
        take.min_hold = [100, 300, 700, 4000][rng.usize(0..4)];
    }
    if style.hour
        && percent(rng, 50)
        && !take.together
        && !take.how.is_run()
        && let Some(cancel) = &mut take.cancel
    {
        take.min_hold = HOUR;
        *cancel = rng.u64(0..3000);
    }
    take.on_lost = !take.together && percent(rng, style.on_lost);
    if percent(rng, style.leases) && !take.together {
        take.owner = rng.bool();
        if rng.bool() {
            take.ttl = rng.u64(300..3000);
            take.no_renew = rng.bool();
        }
    }
    // It is for session locks as well, but not for those in memory.
    if percent(rng, style.retry) && !take.together && style.can.processes {
        take.retry = rng.u64(1..40);
    }
    ending(rng, style, process, &mut take);
    if percent(rng, style.nested) {
        for _ in 0..rng.usize(1..=2) {
            let inside = inside(rng, style, &take);
            take.inside.push(inside);
        }
    }
    take.probe = percent(rng, style.probe);
    take
}

fn class_of(rng: &mut Rng, style: &Style, take: &mut Take, class: Class) {
    match class {
        Class::Permits(n) => {
            // Now and then without: it is the lock of the first permit.
            take.permits = if percent(rng, 10) { 0 } else { n };
            return;
        }
        Class::Shared => take.shared = percent(rng, 70),
        Class::Fenced => take.fenced = percent(rng, 80),
        Class::Plain => {}
    }
    if percent(rng, style.together) && !take.fenced {
        take.together = true;
        for (n, class) in style.classes.iter().enumerate() {
            let fits = matches!((take.shared, class), (true, Class::Shared))
                || !take.shared && !matches!(class, Class::Permits(_));
            let n = u8::try_from(n).unwrap();
            if fits && percent(rng, 60) && !take.keys.contains(&n) {
                take.keys.push(n);
            }
        }
    }
}

/// How it is called, and how long it waits.
fn call_of(rng: &mut Rng, style: &Style, process: &Process, take: &mut Take) {
    let once = percent(rng, style.tries);
    let run = !once && percent(rng, style.run);
    let blocking = percent(rng, style.blocking);
    take.how = match (once, run, blocking) {
        (true, _, false) => How::Try,
        (true, _, true) => How::TryBlocking,
        (_, true, false) => How::Run,
        (_, true, true) => How::RunBlocking,
        (_, false, false) => How::Acquire,
        (_, false, true) => How::AcquireBlocking,
    };
    take.wait = match rng.u32(0..10) {
        0 => Patience::No,
        1..4 => Patience::For(rng.u64(1..100)),
        _ => Patience::For(rng.u64(100..2500)),
    };
    if blocking {
        // A runtime that is dropped waits for those that block.
        take.inline = process.cut > 0 || rng.bool();
        if take.inline {
            take.wait = Patience::For(rng.u64(1..80));
            take.hold = take.hold.min(20);
        }
        return;
    }
    if percent(rng, style.cancel) {
        take.cancel = Some(some_time(rng, 60_000));
        if !once && percent(rng, 20) {
            take.wait = Patience::Forever;
        }
    }
}

fn ending(rng: &mut Rng, style: &Style, process: &Process, take: &mut Take) {
    if percent(rng, style.odd_ends) {
        take.end = match rng.u32(0..10) {
            0..4 => Finish::Drop,
            4..6 => Finish::DropOnThread,
            6..8 => Finish::Panic,
            _ => Finish::ReleaseBlocking,
        };
        if take.how.is_run() {
            take.end = if rng.bool() { Finish::Panic } else { Finish::Release };
        }
        if style.leak && !take.how.is_run() && percent(rng, 15) {
            take.end = Finish::Leak;
        }
    }
    if percent(rng, style.solo) && !take.how.is_blocking() {
        take.solo = Some(match rng.u32(0..10) {
            0..5 => Solo::Dropped,
            9 if !style.hour => Solo::Closed,
            _ => Solo::Kept,
        });
        if take.solo == Some(Solo::Dropped) && !take.how.is_run() {
            take.end = if rng.bool() { Finish::Release } else { Finish::ReleaseBlocking };
        }
        if percent(rng, 8) && process.cut == 0 {
            take.idle = TTL * 7 / 4;
        }
    }
}

fn inside(rng: &mut Rng, style: &Style, take: &Take) -> Inside {
    match rng.u32(0..10) {
        0..2 => return Inside::Verify,
        2..4 => return Inside::Protect,
        _ => {}
    }
    let hows = [How::Acquire, How::Try, How::Run, How::TryBlocking];
    let reentrant = rng.bool() && !take.together;
    let runs = take.how.is_run();
    Inside::Again(Again {
        how: hows[rng.usize(0..hows.len())],
        reentrant,
        plain: take.permits > 1 && percent(rng, 20),
        kept: reentrant && runs && percent(rng, 20),
        min_hold: if reentrant && percent(rng, style.min_hold / 2) { 300 } else { 0 },
        on_lost: reentrant && percent(rng, style.on_lost / 3),
    })
}

/// Mostly short.
fn some_time(rng: &mut Rng, most: u64) -> u64 {
    match rng.u32(0..4) {
        0 => 0,
        1 => rng.u64(0..=most / 20),
        2 => rng.u64(0..=most / 4),
        _ => rng.u64(0..=most),
    }
}

fn troubles(rng: &mut Rng, processes: usize, can: Can) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let kind = rng.u32(0..100);
    if kind < 55 {
        return troubles;
    }
    let mut killed = vec![false; processes];
    for _ in 0..rng.usize(1..=3) {
        let at = rng.u64(50..1500);
        let process = rng.usize(0..processes);
        let what = match rng.u32(0..3) {
            0 if processes > 1 && !killed.iter().any(|killed| *killed) => {
                killed[process] = true;
                TroubleKind::Kill(process)
            }
            1 if can.sessions => {
                if rng.bool() {
                    TroubleKind::EndHolder
                } else {
                    TroubleKind::EndSessions
                }
            }
            // A frozen one stays so for less than the ttl, or for more.
            _ => {
                TroubleKind::Freeze(process, if rng.bool() { rng.u64(100..900) } else { TTL + 800 })
            }
        };
        troubles.push(Trouble { at, what });
    }
    troubles.sort_by_key(|trouble| trouble.at);
    troubles
}

#[cfg(test)]
mod tests {
    use dlock_tests::Backend;

    use super::*;

    #[test]
    fn a_plan_is_what_it_was_after_it_was_written_and_read() {
        for seed in 0..300 {
            for backend in [Backend::Memory, Backend::Postgres, Backend::Sqlite] {
                let plan = plan(seed, Can::of(backend));
                let text = plan.to_text();
                assert_eq!(Plan::from_text(&text), plan, "{text}");
            }
        }
    }

    #[test]
    fn a_seed_has_one_plan_and_another_seed_another() {
        let can = Can::of(Backend::Postgres);
        assert_eq!(plan(7, can), plan(7, can));
        assert_ne!(plan(7, can), plan(8, can));
    }
}
