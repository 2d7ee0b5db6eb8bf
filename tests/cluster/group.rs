//! Three members of MySQL Group Replication: one of them takes writes, and any may go.

use std::time::Duration;

use dlock::{Error, LeaseOptions, Locker};
use dlock_tests::{Proxy, Server, Site, in_time, is_long, limited_in_runtime};
use sqlx::Connection as _;
use sqlx::mysql::MySqlConnection;
use tokio::time::sleep;

use crate::failover::{Cluster, Fault, Trial};
use crate::members::Group;
use crate::nodes::run;
use crate::takers::{KEYS, Takers};

const SECOND: Duration = Duration::from_secs(1);
/// How soon others must have gone on without a member.
const SOON: Duration = Duration::from_secs(90);

impl Cluster for Group {
    const NAMES: [&'static str; 2] = ["mysql, a group", "lease_mysql, a group"];
    const PROGRAM: &'static str = "MySQL";

    fn servers(&self) -> &[Server] {
        &self.0
    }

    fn name(fault: Fault) -> &'static str {
        match fault {
            Fault::Killed => "the primary is killed",
            Fault::Frozen => "the primary is frozen",
            Fault::CutOff => "the primary is cut off from the group",
            Fault::Switched => "another member is made the primary",
            Fault::Restarted => "the primary restarts",
        }
    }

    async fn primary(&self) -> usize {
        self.writes().await
    }

    async fn switch(&self, primary: usize) {
        let url = self.0[(primary + 1) % 3].url();
        run(url, "SELECT group_replication_set_as_primary(@@server_uuid)").await;
    }

    async fn heal(&self) {
        self.is_whole().await;
    }

    async fn alone(&self, primary: usize) {
        alone(&self.0[primary]).await;
    }
}

/// A member that is away is excluded at once when it is noticed, and not 5 s later.
const SETTINGS: &[&str] = &["group_replication_member_expel_timeout=0"];
/// Two thirds of it outlast the 7 s until another one is the primary.
const TTL: Duration = Duration::from_secs(15);

#[test]
fn members_come_and_go() {
    limited_in_runtime(Duration::from_secs(if is_long() { 1150 } else { 280 }), async || {
        let Some(group) = Group::start(SETTINGS) else { return };
        defaults(&group).await;
        let (faults, rounds): (&[Fault], _) = match is_long() {
            true => (&[Fault::Killed, Fault::Frozen, Fault::Switched, Fault::CutOff], 5),
            false => (&[Fault::Killed, Fault::Frozen, Fault::Switched], 1),
        };
        Trial {
            urls: &[0, 1, 2].map(|first| group.url(first)),
            ttl: TTL,
            soon: SOON,
            faults,
            rounds,
            name: "group",
            on: "three members",
            happens: "primaries were killed, frozen, switched and (--long) cut off",
        }
        .run(&group, async |takers| {
            if is_long() {
                several_primaries(&group, takers).await;
                rows_of_a_lost_primary(&group).await;
            }
        })
        .await;
        let rows = group.rows("SELECT name,CONCAT(fence,owner) FROM dlock_leases").await;
        assert!(rows[0].len() > usize::try_from(KEYS).unwrap(), "{rows:?}");
        if is_long() {
            unknown_outcome(&group).await;
        }
    });
}

/// What a locker does there that nobody has told anything, what it says of one that was told too little, and what it
/// refuses.
async fn defaults(group: &Group) {
    let locker = Locker::connect(&group.url(1)).await.unwrap();
    let guard = locker.lock("default").acquire().await.unwrap();
    let left = "SELECT 'left',CONCAT(TIMESTAMPDIFF(SECOND,UTC_TIMESTAMP(6),expires_at)) \
                FROM dlock_leases WHERE name='default'";
    let left: u32 = group.rows(left).await[0][0].1.parse().unwrap();
    assert!((35..=45).contains(&left), "{left} s");
    guard.verify().await.unwrap();
    guard.release().await.unwrap();
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    let short = LeaseOptions::new().ttl(10 * SECOND);
    let short = Locker::builder(&group.url(0)).lease_options(short).connect().await.unwrap();
    let report = short.check().await.unwrap().to_string();
    assert!(report.contains("33 s"), "{report}");
    let secondary = group.0[(group.primary().await + 1) % 3].url();
    let error = Locker::connect(secondary).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("connect to the primary"), "{error}");
    let error = Locker::connect(&format!("lease+{secondary}")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

/// A primary without the majority grants nothing: neither leases nor, to those who come then, session locks.
async fn alone(primary: &Server) {
    let error = Locker::connect(primary.url()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let site = Site::at(&format!("lease+{}", primary.url()));
    if let Ok(locker) = site.builder().connect_timeout(5 * SECOND).connect().await {
        let taken = locker.lock("alone").timeout(3 * SECOND).acquire().await;
        assert!(taken.is_err(), "{taken:?}");
    }
}

/// With several primaries each grants the same session lock, so there are none. Leases conflict at their commit.
async fn several_primaries(group: &Group, takers: &mut Takers) {
    let primary = group.0[group.primary().await].url();
    let locker = Site::at(primary).locker().await;
    let guard = locker.lock("k").acquire().await.unwrap();
    group.run_on_primary("SELECT group_replication_switch_to_multi_primary_mode()").await;
    in_time("the loss", SOON, guard.lost()).await;
    for server in &group.0 {
        let error = Locker::connect(server.url()).await.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains("several primaries"), "{error}");
    }
    takers.go_on("several primaries").await;
    sleep(3 * SECOND).await;
    group.run_on_primary("SELECT group_replication_switch_to_single_primary_mode()").await;
    takers.go_on("one primary").await;
}

/// A commit that never ends keeps its rows locked on a primary that is cut off. Whoever waits for one of those gets it
/// from the next primary.
async fn rows_of_a_lost_primary(group: &Group) {
    let primary = group.primary().await;
    let site = Site::at(&group.url(primary)).ttl(TTL);
    let locker = site.locker().await;
    locker.lock("stuck").acquire().await.unwrap().release().await.unwrap();
    let mut commit = MySqlConnection::connect(group.0[primary].url()).await.unwrap();
    let lock = "START TRANSACTION;SELECT * FROM dlock_leases WHERE name LIKE '%stuck' FOR UPDATE";
    let locked = sqlx::raw_sql(lock).fetch_all(&mut commit).await.unwrap();
    assert_eq!(locked.len(), 1);
    let lock = locker.lock("stuck").timeout(SOON);
    let waiting = tokio::spawn(async move { lock.acquire().await });
    sleep(2 * SECOND).await;
    assert!(!waiting.is_finished(), "its row is locked");
    if group.happen(Fault::CutOff, primary).await {
        waiting.await.unwrap().unwrap().release().await.unwrap();
        // Or what the member has missed would wait for it.
        commit.close().await.unwrap();
        group.end(Fault::CutOff, primary).await;
    }
}

/// A commit that is under way when the majority is gone: perhaps it will be done, perhaps not. It is no grant, and
/// nothing stays behind.
async fn unknown_outcome(group: &Group) {
    let primary = group.primary().await;
    let [one, two] = [1, 2].map(|next| &group.0[(primary + next) % 3]);
    let proxy = Proxy::to(&format!("lease+{}", group.0[primary].url())).await;
    let site = Site::at(proxy.url()).ttl(TTL);
    let locker = site.locker().await;
    tokio::task::block_in_place(|| [one, two].iter().for_each(|server| server.freeze()));
    let (lock, asked) = (locker.lock("unknown").timeout(8 * SECOND), proxy.round_trips());
    let taken = lock.acquire().await;
    assert!(proxy.round_trips() > asked, "it was asked");
    assert!(taken.is_err(), "{taken:?}");
    tokio::task::block_in_place(|| [one, two].iter().for_each(|server| server.thaw()));
    group.heal().await;
    let other = site.through(&group.url(0)).locker().await;
    let granted = other.lock("unknown").timeout(SOON).acquire().await.unwrap();
    granted.verify().await.unwrap();
    granted.release().await.unwrap();
    locker.close().await;
}
