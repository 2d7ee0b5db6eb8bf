//! Everything goes wrong at once, and still no two hold one key: sessions are ended by the server,
//! processes killed and frozen, while four of them fight over four keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

use std::time::{Duration, Instant};

use dlock_tests::history::{self, Hold};
use dlock_tests::{Signal, Site, Taker, Temp, Witness, clock, taker};
use tokio::time::sleep;

dlock_tests::suite! {
    "chaos" on [sqlite Sqlite, postgres Postgres, postgres18 Postgres18] {
        fight: [survives_kills_and_freezes]
    }
}

mod fight {
    pub(crate) use super::survives_kills_and_freezes;
}

const TIME: Duration = Duration::from_secs(8);
const TTL: Duration = Duration::from_secs(2);
/// Longer than the ttl: others have the locks of a frozen one meanwhile.
const FROZEN: Duration = Duration::from_millis(3500);
/// For how long a holder may work on after the server has ended its session: the news is on its way,
/// and the machine is busy.
const GRACE: Duration = Duration::from_millis(500);

/// One of the fighters: when it is killed, another one takes its place.
struct Fighter {
    taker: Taker,
    folder: Temp,
    lives: u32,
    holds: Vec<Hold>,
}

impl Fighter {
    fn new(site: &Site) -> Self {
        let folder = Temp::new();
        let taker = taker!(site, "history", 4, folder.file("0").display());
        Fighter { taker, folder, lives: 0, holds: Vec::new() }
    }

    fn collect(&mut self, killed: Option<u64>) {
        let who = format!("{:?}, life {}", self.folder.path(), self.lives);
        let file = self.folder.file(&self.lives.to_string());
        // It may have been killed before it wrote anything.
        if file.exists() {
            self.holds.extend(history::read(&file, &who, killed));
        }
        self.lives += 1;
    }

    fn die_and_rise(&mut self, site: &Site) {
        let killed = clock::now();
        self.taker.kill();
        self.collect(Some(killed));
        let file = self.folder.file(&self.lives.to_string());
        self.taker = taker!(site, "history", 4, file.display());
    }

    async fn stop(mut self) -> Vec<Hold> {
        self.taker.signal(Signal::CONT);
        self.taker.says("begun").await;
        self.taker.tell("stop");
        self.taker.says("done").await;
        self.collect(None);
        self.holds
    }
}

pub(crate) async fn survives_kills_and_freezes(site: Site) {
    let site = site.ttl(TTL);
    let mut witness = match site.url.starts_with("postgres") {
        true => Some(Witness::at(&site.url).await),
        false => None,
    };
    let mut fighters: Vec<_> = (0..4).map(|_| Fighter::new(&site)).collect();
    let start = Instant::now();
    let mut frozen: Option<(usize, Instant)> = None;
    let (mut killed, mut ended, mut froze) = (0, 0, 0);
    while start.elapsed() < TIME {
        sleep(Duration::from_millis(fastrand::u64(50..250))).await;
        if let Some((n, since)) = frozen
            && since.elapsed() > FROZEN
        {
            fighters[n].taker.signal(Signal::CONT);
            frozen = None;
        }
        let n = fastrand::usize(0..4);
        match fastrand::u32(0..6) {
            // A frozen one can be killed as well.
            0 => {
                fighters[n].die_and_rise(&site);
                frozen = frozen.filter(|(m, _)| *m != n);
                killed += 1;
            }
            1 | 2 if frozen.is_none() => {
                fighters[n].taker.signal(Signal::STOP);
                frozen = Some((n, Instant::now()));
                froze += 1;
            }
            _ => {
                if let Some(witness) = &mut witness {
                    ended += witness.terminate_a_holder(&site).await;
                }
            }
        }
    }
    let mut holds = Vec::new();
    for fighter in fighters {
        holds.extend(fighter.stop().await);
    }
    let lost = holds.iter().filter(|hold| hold.lost).count();
    println!(
        "{} holds, {lost} lost; {killed} killed, {froze} frozen, {ended} sessions ended",
        holds.len()
    );
    history::verify(&holds, GRACE).unwrap();
    assert!(holds.len() > 200, "only {} holds", holds.len());
}

#[test]
fn checker_finds_what_must_not_be() {
    let hold = |who: &str, key: &str, from: u64, until: u64, lost: bool| {
        let ms = 1_000_000;
        Hold { who: who.into(), key: key.into(), from: from * ms, until: until * ms, lost }
    };
    let grace = Duration::from_millis(10);
    let good = [
        hold("a", "k", 0, 10, false),
        hold("b", "k", 10, 20, false),
        hold("b", "other", 5, 15, false),
        hold("a", "k", 20, 35, true),
        hold("b", "k", 30, 40, false),
        hold("c", "k", 41, 41, true),
    ];
    history::verify(&good, grace).unwrap();
    let bad = [
        hold("c", "k", 9, 12, false),
        hold("c", "k", 0, 100, false),
        hold("c", "k", 12, 13, false),
        hold("c", "k", 15, 35, true),
        hold("c", "other", 0, 6, false),
    ];
    for one in bad {
        let holds: Vec<Hold> = good.iter().cloned().chain([one.clone()]).collect();
        assert!(history::verify(&holds, grace).is_err(), "not found: {one:?}");
    }
}

/// The same from files: a holder that was killed held its lock until then.
#[test]
fn checker_reads_what_the_holders_wrote() {
    let folder = Temp::new();
    let write = |name: &str, text: &str| std::fs::write(folder.file(name), text).unwrap();
    let read = |name: &str, killed| history::read(&folder.file(name), name, killed);
    write("a", "+ 0 100 k\n* 0 150 \n- 0 200 \n+ 1 300 k\n* 1 350 \n! 1 900 \n");
    write("b", "+ 0 400 k\n");
    write("c", "+ 0 590 k\n- 0 610 \n");
    let [a, b, c] = [read("a", None), read("b", Some(600)), read("c", None)];
    assert_eq!((a[0].until, a[0].lost, a[1].until, a[1].lost), (200, false, 350, true));
    assert_eq!(b[0].until, 600);
    history::verify(&[a.clone(), b.clone()].concat(), Duration::ZERO).unwrap();
    history::verify(&[a, c.clone()].concat(), Duration::ZERO).unwrap();
    history::verify(&[b, c].concat(), Duration::ZERO).unwrap_err();
}
