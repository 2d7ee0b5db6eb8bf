//! A cluster that loses its primary, in every way, while processes take leases and one holds a session lock.

use std::time::{Duration, SystemTime};

use dlock::Guard;
use dlock_tests::{Server, Site, clock, in_time, tabulate, tell};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::figures::{Figures, Outcome};
use crate::sessions::hold;
use crate::takers::{Fences, Takers};

const SECOND: Duration = Duration::from_secs(1);
/// When whoever holds a lease throughout must know that it does.
const SOON: Duration = Duration::from_secs(60);

/// What happens to the server that everybody uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Killed,
    Frozen,
    /// From the others, not from its clients.
    CutOff,
    /// Another takes over by order.
    Switched,
    Restarted,
}

/// Servers of which another takes over.
pub(crate) trait Cluster {
    /// What session locks and leases are called in the table.
    const NAMES: [&'static str; 2];
    /// What its servers are.
    const PROGRAM: &'static str;

    fn servers(&self) -> &[Server];

    fn name(fault: Fault) -> &'static str;

    /// Where session locks are held: a URL for each server.
    fn session_urls(&self) -> Vec<String> {
        self.servers().iter().map(|server| server.url().to_owned()).collect()
    }

    /// Which one takes writes.
    async fn primary(&self) -> usize;

    /// Has another one take over.
    async fn switch(&self, primary: usize);

    /// Waits until all are there, and one is the primary.
    async fn heal(&self);

    /// What must be so while the primary is cut off.
    async fn alone(&self, _: usize) {}

    /// Returns `false` where it cannot be done.
    async fn happen(&self, fault: Fault, primary: usize) -> bool {
        let server = &self.servers()[primary];
        match fault {
            Fault::Killed => block_in_place(|| server.kill()),
            Fault::Frozen => block_in_place(|| server.freeze()),
            Fault::CutOff => return block_in_place(|| server.cut()),
            Fault::Switched => self.switch(primary).await,
            Fault::Restarted => block_in_place(|| server.restart()),
        }
        true
    }

    async fn end(&self, fault: Fault, primary: usize) {
        let server = &self.servers()[primary];
        match fault {
            Fault::Killed => block_in_place(|| server.start_after_crash()),
            Fault::Frozen => block_in_place(|| server.thaw()),
            Fault::CutOff => block_in_place(|| server.mend()),
            Fault::Switched | Fault::Restarted => {}
        }
        self.heal().await;
    }
}

/// Prints what the servers of a cluster have logged in a round that fails.
struct Logs<'a, C: Cluster> {
    cluster: &'a C,
    /// How much each had logged when the round began.
    before: Vec<usize>,
}

impl<'a, C: Cluster> Logs<'a, C> {
    fn begin(cluster: &'a C) -> Self {
        let before = cluster.servers().iter().map(|server| server.log().len()).collect();
        Logs { cluster, before }
    }
}

impl<C: Cluster> Drop for Logs<'_, C> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let (time, clock) = (SystemTime::now(), clock::now());
        eprintln!("it is {time:?}, and {clock} by the clock of the histories");
        for (server, before) in self.cluster.servers().iter().zip(&self.before) {
            let (url, log) = (server.url(), server.log());
            eprintln!("== logged by {url} in this round:\n{}", log.get(*before..).unwrap_or(&log));
        }
    }
}

/// What is done to a cluster while four processes take leases of it.
pub(crate) struct Trial<'a> {
    /// All of it, for each process the next one in turn.
    pub(crate) urls: &'a [String; 3],
    pub(crate) ttl: Duration,
    /// How soon all must have gone on after a fault.
    pub(crate) soon: Duration,
    pub(crate) faults: &'a [Fault],
    /// How often each of them happens.
    pub(crate) rounds: usize,
    /// What the cluster is called in the summary, what grants are on, and what happens to it.
    pub(crate) name: &'a str,
    pub(crate) on: &'a str,
    pub(crate) happens: &'a str,
}

impl Trial<'_> {
    /// Lets all of it happen, and then this. A lease that is held throughout is kept, holders of session locks are told, no
    /// two hold one lease, and fences only grow.
    pub(crate) async fn run<C: Cluster>(&self, cluster: &C, more: impl AsyncFnOnce(&mut Takers)) {
        let mut takers = Takers::start(self.urls, self.ttl, self.soon).await;
        let fences = Fences::collect(self.urls, self.ttl).await;
        let keeper = Site::at(&self.urls[2]).ttl(self.ttl).locker().await;
        let kept = keeper.lock("kept").acquire().await.unwrap();
        let fence = kept.fence();
        takers.go_on(self.on).await;
        self.faults(cluster, &mut takers, (&kept, &fences)).await;
        more(&mut takers).await;
        assert_eq!(kept.fence(), fence);
        kept.release().await.unwrap();
        let holds = takers.stop().await;
        let lost = holds.iter().filter(|hold| hold.lost).count();
        let fences = fences.stop().await;
        tabulate(&format!(
            "{}: {} grants on {} while {}: {lost} lost, no two holders; {fences} fences, which only grew",
            self.name,
            holds.len(),
            self.on,
            self.happens
        ));
    }

    /// All takers go on in time, and each fault has its row.
    async fn faults<C: Cluster>(
        &self,
        cluster: &C,
        takers: &mut Takers,
        (kept, fences): (&Guard, &Fences),
    ) {
        let version = cluster.servers()[0].version();
        tell("DLOCK_TEST_FAILOVERS", &format!("with {} {version}", C::PROGRAM));
        for &fault in self.faults {
            let (mut sessions, mut leases) =
                (Figures::new(C::name(fault)), Figures::new(C::name(fault)));
            for _ in 0..self.rounds {
                let _logs = Logs::begin(cluster);
                let primary = cluster.primary().await;
                let holder = hold(&cluster.session_urls(), primary).await;
                sleep(2 * SECOND).await;
                let began = clock::now();
                if !cluster.happen(fault, primary).await {
                    // It has been said.
                    return;
                }
                takers.go_on(C::name(fault)).await;
                leases.add(Outcome::pause(takers.pause(began)).kept());
                if fault == Fault::CutOff {
                    cluster.alone(primary).await;
                }
                sessions.add(holder.outcome(began, Some(began)).await);
                cluster.end(fault, primary).await;
                takers.go_on("it is back").await;
                in_time("the lease that is kept", SOON, kept.verify()).await.unwrap();
                takers.check();
                fences.check();
            }
            sessions.report_to("DLOCK_TEST_FAILOVERS", &C::NAMES[0]);
            leases.report_to("DLOCK_TEST_FAILOVERS", &C::NAMES[1]);
        }
    }
}
