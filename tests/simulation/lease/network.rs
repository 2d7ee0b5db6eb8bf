//! What becomes of a statement between a process and the server.

use std::io::{Error as IoError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use dlock::Error;
use dlock::engine::lease::core::{Done, Failure, Found, Job};

use super::coverage::Coverage;
use super::process::Flight;
use super::server::{Response, Statement};
use super::world::{Back, Due, World};

/// A connection that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(12);

/// Who is cut off, until when.
pub(crate) struct Network {
    cut_until: Vec<Duration>,
    deaf_until: Vec<Duration>,
}

impl Network {
    pub(crate) fn new(processes: usize) -> Self {
        let never = vec![Duration::ZERO; processes];
        Network { cut_until: never.clone(), deaf_until: never }
    }

    pub(crate) fn cut(&mut self, p: usize, until: Duration) {
        self.cut_until[p] = until;
    }

    pub(crate) fn deafen(&mut self, p: usize, until: Duration) {
        self.deaf_until[p] = until;
    }

    pub(crate) fn is_cut(&self, p: usize, now: Duration) -> bool {
        now < self.cut_until[p]
    }

    pub(crate) fn is_deaf(&self, p: usize, now: Duration) -> bool {
        now < self.deaf_until[p]
    }
}

/// Sends a job on its way, after a new connection if there is none. Returns when it was sent, if it
/// was.
pub(super) fn depart(
    world: &mut World,
    back: Back,
    job: &Job,
    connected: bool,
    patience: Duration,
) -> Option<Duration> {
    let (mut at, p) = (world.now(), back.p);
    let gone = |back| Due::Answer { back, response: Response::Gone };
    if !connected {
        let cut = world.network.is_cut(p, at) || world.network.is_deaf(p, at);
        let fails = if cut {
            Some(SILENCE)
        } else {
            (at < world.server.away_until).then(|| world.latency())
        };
        if let Some(time) = fails {
            world.coverage.count("fate: connecting fails");
            world.failed_to_connect(p);
            world.at(at + time, gone(back));
            return None;
        }
        at += world.latency();
    }
    let sent = at;
    let limit = at + patience.min(SILENCE);
    world.at(limit, gone(back));
    let statement = Statement::of(job);
    let odd = world.now() < world.server.odd_until;
    let chance = if world.is_stormy() { world.faults() } else { 0 };
    if world.network.is_cut(p, at) {
        world.coverage.count("fate: lost on the way");
        return Some(sent);
    }
    let mut arrives = at + world.latency();
    let mut back = Some(back);
    if world.rng.u32(..4000) < chance {
        // The connection ends: before it was done, or after, or long after.
        let ends = world.latency();
        back.into_iter().for_each(|back| world.at(at + ends, gone(back)));
        back = None;
        match world.rng.u8(..3) {
            0 => {
                world.coverage.count("fate: ended");
                return Some(sent);
            }
            1 => world.coverage.count("fate: done, and the answer lost"),
            _ => {
                world.coverage.count("fate: done late");
                arrives += Duration::from_millis(world.rng.u64(..6000));
            }
        }
    }
    if odd && world.rng.bool() {
        world.coverage.count("fate: done twice");
        world.doubled.extend(statement.owners());
        let again = arrives + Duration::from_millis(world.rng.u64(..4000));
        world.at(again, Due::Arrive { statement: statement.clone(), back: None });
    }
    if let Some(back) = &mut back {
        back.cut_short = odd && world.rng.u8(..4) == 0;
    }
    world.at(arrives, Due::Arrive { statement, back });
    Some(sent)
}

/// What the core is told of a job, and whether its connection can be used again.
pub(super) fn done(
    flight: Flight,
    response: Response,
    cut_short: bool,
    coverage: &mut Coverage,
) -> (Done, bool) {
    let Flight { mut job, sent, .. } = flight;
    let failed = |why| Err(Failure::Failed(unavailable(why)));
    let result = match (response, &mut job) {
        (Response::Apply { mut released, mut taken }, Job::Apply { outcomes, .. }) => {
            if cut_short {
                coverage.count("fate: the answer is cut short");
                released.pop();
                taken.pop();
            }
            *outcomes = Response::outcomes(released, taken);
            Ok(())
        }
        (Response::Renew(mut all), Job::Renew { renewed, .. }) => {
            if cut_short {
                coverage.count("fate: not for long enough");
                all.pop();
            }
            *renewed = all;
            Ok(())
        }
        (Response::Held(held), Job::Ask { found, .. }) => {
            *found = Found::Held(held);
            Ok(())
        }
        (Response::Own(taken), Job::Ask { found, .. }) => {
            *found = Found::Own(taken);
            Ok(())
        }
        (Response::Other, Job::Ask { found, .. }) => {
            *found = if cut_short { Found::Part } else { Found::All };
            Ok(())
        }
        (Response::Busy, _) => {
            coverage.count("fate: busy");
            Err(Failure::Busy(unavailable("busy")))
        }
        (Response::Refused, _) => {
            coverage.count("fate: refused");
            let source = Arc::from(Box::from("the disk is full"));
            Err(Failure::Failed(Error::Backend { key: None, backend: "model".into(), source }))
        }
        (Response::Gone, _) => {
            if sent.is_some() {
                coverage.count("fate: kept waiting");
            }
            failed("gone")
        }
        (response, job) => panic!("{job:?} is answered by {response:?}"),
    };
    let connected = !matches!(result, Err(Failure::Failed(_)));
    (Done { job, sent, result, wanted: true }, connected)
}

fn unavailable(why: &'static str) -> Error {
    let source = Arc::new(IoError::new(ErrorKind::ConnectionReset, why));
    Error::Unavailable { key: None, backend: "model".into(), source }
}
