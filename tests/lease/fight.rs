//! Four processes, sixteen keys that all of them want, and somebody who kills them, freezes them and
//! sets their clocks: what they wrote down must be a history of locks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use dlock_tests::history::{self, Hold};
use dlock_tests::{Backend, Signal, Site, Taker, Temp, Wall, is_long, not_run, tabulate, taker};
use fastrand::Rng;
use tokio::time::sleep;

const PROCESSES: usize = 4;
const KEYS: u32 = 16;
const TASKS: u32 = 3;
const TTL: Duration = Duration::from_millis(1500);
/// Longer than the ttl: others have the leases of a frozen one meanwhile.
const FROZEN: Duration = Duration::from_millis(2500);
/// What is to happen at least.
const EACH: u32 = 3;

/// Together more than a million in a long run. SQL Server and Oracle are mostly test doubles: these are slow, and what holds on
/// them says less.
fn wanted(on: Option<Backend>) -> u64 {
    match on {
        _ if !is_long() => 5_000,
        Some(Backend::LeaseMssql | Backend::LeaseOracle) => 25_000,
        _ => 250_000,
    }
}

/// One of the four; when it is killed, another takes its place.
struct Fighter {
    taker: Taker,
    folder: Temp,
    wall: Option<Wall>,
    offset: i64,
    frozen: Option<Instant>,
    lives: u32,
    grants: u64,
    /// What it is writing to, as far as it is counted.
    file: (PathBuf, Option<File>),
    holds: Vec<Hold>,
}

impl Fighter {
    fn new(site: &Site, walls: bool) -> Self {
        let (folder, wall) = (Temp::new(), if walls { Wall::new() } else { None });
        let file = folder.file("0");
        let taker = Self::start(site, wall.as_ref(), &file);
        Fighter {
            taker,
            wall,
            folder,
            offset: 0,
            frozen: None,
            lives: 1,
            grants: 0,
            file: (file, None),
            holds: Vec::new(),
        }
    }

    fn start(site: &Site, wall: Option<&Wall>, file: &std::path::Path) -> Taker {
        taker!(site, by wall, "fight", KEYS, TASKS, file.display())
    }

    /// Counts what it has been granted since the last look.
    fn count(&mut self) {
        let (path, open) = &mut self.file;
        if open.is_none() {
            *open = File::open(path).ok();
        }
        let mut text = Vec::new();
        if let Some(file) = open {
            file.read_to_end(&mut text).unwrap();
        }
        self.grants += text.iter().filter(|byte| **byte == b'+').count() as u64;
    }

    fn collect(&mut self, killed: bool) {
        self.count();
        let who = format!("{:?}, life {}", self.folder.path(), self.lives);
        // It may have been killed before it wrote anything.
        if self.file.0.exists() {
            self.holds.extend(history::read(&self.file.0, &who, killed));
        }
    }

    fn die_and_rise(&mut self, site: &Site) {
        self.taker.kill();
        self.frozen = None;
        self.collect(true);
        self.file = (self.folder.file(&self.lives.to_string()), None);
        self.lives += 1;
        self.taker = Self::start(site, self.wall.as_ref(), &self.file.0);
    }

    fn freeze(&mut self) {
        self.taker.signal(Signal::STOP);
        self.frozen = Some(Instant::now());
    }

    fn thaw(&mut self) {
        self.taker.signal(Signal::CONT);
        self.frozen = None;
    }

    fn set_clock(&mut self, random: &mut Rng) -> bool {
        let Some(wall) = &self.wall else { return false };
        self.offset = 60 * random.i64(-30..=30);
        wall.set(self.offset);
        true
    }

    /// Makes sure that it has the clock that it was given.
    async fn ask_for_the_time(&mut self) {
        if self.wall.is_none() {
            return;
        }
        self.taker.tell("time");
        let time = self.taker.line().await;
        let time: i64 = time.strip_prefix("time ").unwrap().parse().unwrap();
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
        let off = time - now - self.offset;
        assert!(off.abs() < 20, "its clock is off by {off} s");
    }

    async fn stop(mut self) -> Vec<Hold> {
        self.thaw();
        self.taker.says("begun").await;
        self.ask_for_the_time().await;
        self.taker.tell("stop");
        self.taker.says("done").await;
        self.collect(false);
        self.holds
    }
}

/// What has happened, and how often.
#[derive(Default)]
struct Events(BTreeMap<&'static str, u32>);

impl Events {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn are_enough(&self, walls: bool) -> bool {
        let enough = |what| self.0.get(what).is_some_and(|times| *times >= EACH);
        enough("kills") && enough("freezes") && (!walls || enough("clock changes"))
    }
}

async fn stir(fighters: &mut [Fighter], site: &Site, random: &mut Rng, events: &mut Events) {
    let thawing = |f: &&mut Fighter| f.frozen.is_some_and(|since| since.elapsed() > FROZEN);
    fighters.iter_mut().filter(thawing).for_each(Fighter::thaw);
    let frozen = fighters.iter().filter(|fighter| fighter.frozen.is_some()).count();
    let fighter = &mut fighters[random.usize(..PROCESSES)];
    match random.u32(..6) {
        // A frozen one can be killed as well.
        0 => {
            fighter.die_and_rise(site);
            events.count("kills");
        }
        1 if frozen < 1 => {
            fighter.freeze();
            events.count("freezes");
        }
        2 | 3 if fighter.set_clock(random) => events.count("clock changes"),
        _ => {}
    }
}

pub(crate) async fn histories(site: Site) {
    let seed = std::env::var("DLOCK_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = Rng::with_seed(seed);
    let site = site.ttl(TTL);
    // Where the database's clock is the processes' own, they all have the same one.
    let mut walls = site.backend != Some(Backend::Sqlite);
    if walls && Wall::new().is_none() {
        not_run("clock changes in histories", "libfaketime is not installed: run tests/setup");
        walls = false;
    }
    let began = Instant::now();
    let mut fighters: Vec<_> = (0..PROCESSES).map(|_| Fighter::new(&site, walls)).collect();
    let mut events = Events::default();
    let pause = if is_long() { 1000 } else { 300 };
    let mut grants = 0;
    while grants < wanted(site.backend) || !events.are_enough(walls) {
        sleep(Duration::from_millis(random.u64(pause / 2..pause))).await;
        stir(&mut fighters, &site, &mut random, &mut events).await;
        fighters.iter_mut().for_each(Fighter::count);
        grants = fighters.iter().map(|fighter| fighter.grants).sum();
    }
    let took = began.elapsed().as_secs_f64();
    let mut holds = Vec::new();
    for fighter in fighters {
        holds.extend(fighter.stop().await);
    }
    let lost = holds.iter().filter(|hold| hold.lost).count();
    let events: Vec<_> = events.0.iter().map(|(what, times)| format!("{times} {what}")).collect();
    tabulate(&format!(
        "histories on {}: {} grants in {took:.0} s, {lost} of them lost; {}; seed {seed}",
        site.backend.unwrap(),
        holds.len(),
        events.join(", ")
    ));
    history::count(&holds);
    history::verify(&holds, Duration::ZERO).unwrap();
    history::verify_fences(&holds).unwrap();
}
