//! Four processes, four keys, and somebody who kills, freezes and disconnects them.

use std::path::Path;
use std::time::{Duration, Instant};

use dlock_tests::history::{self, Hold};
use dlock_tests::{Backend, Signal, Site, Taker, Temp, Witness, clock, taker};
use tokio::time::sleep;

const TIME: Duration = Duration::from_secs(8);
/// On a busy machine it takes longer until enough has happened: processes begin slowly, and one that
/// is frozen with the lock keeps it from all others. Not longer than this.
const TIME_MAX: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(2);
/// Longer than the ttl: others have the locks of a frozen one meanwhile.
const FROZEN: Duration = Duration::from_millis(3500);
/// For how long a holder may work on after the server has ended its session: the news is on its
/// way, and the machine is busy.
const NEWS: Duration = Duration::from_millis(500);
/// Where the server sends no news, it comes with the next heartbeat.
const HEARTBEAT: Duration = Duration::from_millis(700);

/// One of them: when it is killed, another one takes its place.
struct Fighter {
    command: &'static [&'static str],
    taker: Taker,
    folder: Temp,
    lives: u32,
    frozen: Option<Instant>,
    holds: Vec<Hold>,
}

/// Fights over four keys.
const FIGHT: &[&str] = &["history", "4"];
/// Wants to lead.
const LEAD: &[&str] = &["lead", "scheduler"];

impl Fighter {
    fn new(site: &Site, command: &'static [&'static str]) -> Self {
        let folder = Temp::new();
        let taker = Self::start(site, command, &folder.file("0"));
        Fighter { command, taker, folder, lives: 0, frozen: None, holds: Vec::new() }
    }

    fn start(site: &Site, command: &[&str], file: &Path) -> Taker {
        let [command, what] = command else { unreachable!() };
        taker!(site, command, what, file.display())
    }

    fn collect(&mut self, killed: bool) {
        let who = format!("{:?}, life {}", self.folder.path(), self.lives);
        let file = self.folder.file(&self.lives.to_string());
        // It may have been killed before it wrote anything.
        if file.exists() {
            self.holds.extend(history::read(&file, &who, killed));
        }
        self.lives += 1;
    }

    /// How many grants it has written down in all its lives.
    fn grants(&self) -> usize {
        let files = (0..=self.lives).map(|life| self.folder.file(&life.to_string()));
        let histories = files.filter_map(|file| std::fs::read_to_string(file).ok());
        histories.map(|history| history.lines().filter(|line| line.starts_with('+')).count()).sum()
    }

    fn die_and_rise(&mut self, site: &Site) {
        self.taker.kill();
        self.frozen = None;
        self.collect(true);
        let file = self.folder.file(&self.lives.to_string());
        self.taker = Self::start(site, self.command, &file);
    }

    fn freeze(&mut self) {
        self.taker.signal(Signal::STOP);
        self.frozen = Some(Instant::now());
    }

    fn thaw(&mut self) {
        self.taker.signal(Signal::CONT);
        self.frozen = None;
    }

    async fn stop(mut self) -> Vec<Hold> {
        self.thaw();
        self.taker.says("begun").await;
        self.taker.tell("stop");
        self.taker.says("done").await;
        self.collect(false);
        self.holds
    }
}

async fn end(fighters: Vec<Fighter>, least: usize) -> Vec<Hold> {
    let mut holds = Vec::new();
    for fighter in fighters {
        holds.extend(fighter.stop().await);
    }
    let lost = holds.iter().filter(|hold| hold.lost).count();
    println!("{} holds, {lost} of them lost", holds.len());
    history::count(&holds);
    // Few when one is frozen in the middle of a transaction: then SQLite's file is, too.
    assert!(holds.len() > least, "only {} holds", holds.len());
    holds
}

/// A frozen process learns before it goes on that others have had its locks meanwhile.
pub(crate) async fn survives_kills_and_freezes(site: Site) {
    let holds = kill_and_freeze(&site.ttl(TTL), FIGHT, TIME, 20).await;
    history::verify(&holds, Duration::ZERO).unwrap();
}

/// No two lead at once, and each term has a greater fence than those before it.
pub(crate) async fn no_two_lead(site: Site) {
    let holds = kill_and_freeze(&site.ttl(TTL), LEAD, TIME, 4).await;
    history::verify(&holds, Duration::ZERO).unwrap();
    history::verify_fences(&holds).unwrap();
}

async fn kill_and_freeze(
    site: &Site,
    command: &'static [&'static str],
    time: Duration,
    least: usize,
) -> Vec<Hold> {
    let mut fighters: Vec<_> = (0..4).map(|_| Fighter::new(site, command)).collect();
    let start = Instant::now();
    let grants = |fighters: &[Fighter]| fighters.iter().map(Fighter::grants).sum::<usize>();
    while start.elapsed() < time || (grants(&fighters) <= least && start.elapsed() < TIME_MAX) {
        sleep(Duration::from_millis(fastrand::u64(100..400))).await;
        let thawing = |f: &&mut Fighter| f.frozen.is_some_and(|since| since.elapsed() > FROZEN);
        fighters.iter_mut().filter(thawing).for_each(Fighter::thaw);
        let frozen = fighters.iter().filter(|fighter| fighter.frozen.is_some()).count();
        let fighter = &mut fighters[fastrand::usize(0..4)];
        if fastrand::u32(0..3) == 0 {
            // A frozen one can be killed as well.
            fighter.die_and_rise(site);
        } else if frozen < 2 && fighter.frozen.is_none() {
            fighter.freeze();
        }
    }
    println!("fought for {:?}", start.elapsed());
    end(fighters, least).await
}

/// Holders hear of the end of their session within milliseconds, but the next ones may be faster;
/// and a lock may pass from task to task meanwhile.
pub(crate) async fn survives_ended_sessions(site: Site) {
    let site = site.ttl(TTL);
    let mut witness = Witness::at(&site.url).await;
    let fighters: Vec<_> = (0..4).map(|_| Fighter::new(&site, FIGHT)).collect();
    let start = Instant::now();
    let silent = site.backend.is_some_and(Backend::is_silent);
    let news = if silent { NEWS + HEARTBEAT } else { NEWS };
    let soon = u64::try_from(news.as_nanos()).unwrap() / 5;
    let mut ends = Vec::new();
    while start.elapsed() < TIME {
        sleep(Duration::from_millis(fastrand::u64(200..800))).await;
        let from = clock::now();
        if witness.terminate_a_holder(&site).await > 0 {
            ends.push((from, clock::now()));
        }
    }
    assert!(ends.len() > 3, "only {} sessions ended", ends.len());
    let mut holds = end(fighters, 20).await;
    for hold in &mut holds {
        // Released in this process before the news came, and so without complaint.
        hold.lost |= ends.iter().any(|(from, to)| hold.from < to + soon && hold.until > *from);
    }
    history::verify(&holds, news).unwrap();
}
