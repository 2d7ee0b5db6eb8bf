//! One leads, and when it goes the next one does.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock::{Error, Guard, Leader, Locker, Role};
use dlock_tests::{Site, in_time};
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(20);

fn candidate(locker: &Locker) -> Leader {
    locker.lock("scheduler").leader().retry_after(Duration::from_millis(50))
}

/// Ends when it has this role.
async fn is(leader: &Leader, what: &str, wanted: impl Fn(Role) -> bool) -> Role {
    in_time(what, SOON, async {
        let mut role = leader.role();
        while !wanted(role) {
            role = leader.changed().await;
        }
        role
    })
    .await
}

async fn leads(leader: &Leader) -> Option<u64> {
    match is(leader, "its election", |role| matches!(role, Role::Leader { .. })).await {
        Role::Leader { fence } => fence,
        _ => unreachable!(),
    }
}

async fn for_ever(_: &Guard) {
    std::future::pending().await
}

pub(crate) async fn next_one_follows(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let (one, two) = (candidate(&ours), candidate(&theirs));
    assert_eq!(one.role(), Role::Candidate);
    let runs = [&one, &two].map(|leader| {
        let leader = leader.clone();
        // Spawned: the future is `Send`.
        tokio::spawn(async move { leader.run(for_ever).await })
    });
    let both = async || (one.role(), two.role());
    let (first, second) = in_time("an election", SOON, async {
        loop {
            match both().await {
                (Role::Leader { .. }, Role::Candidate) => return (&one, &two),
                (Role::Candidate, Role::Leader { .. }) => return (&two, &one),
                (Role::Candidate, Role::Candidate) => sleep(Duration::from_millis(5)).await,
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    let fence = leads(first).await;
    let watching = first.clone();
    let stopped = async { is(&watching, "its end", |role| role == Role::Stopped).await };
    let stop = async { first.clone().stop() };
    tokio::join!(stopped, stop);
    assert_eq!(first.role(), Role::Stopped);
    let next = leads(second).await;
    assert!(fence.is_none() || next > fence, "{next:?} after {fence:?}");
    assert_eq!(next.is_some(), fence.is_some());
    second.stop();
    for run in runs {
        assert_eq!(in_time("the end", SOON, run).await.unwrap().unwrap(), None);
    }
    ours.lock("scheduler").try_acquire().await.unwrap().expect("released").release().await.unwrap();
}

/// Whoever loses the term is told, its body dropped, and it is a candidate again.
pub(crate) async fn loss_begins_a_new_campaign(site: Site) {
    let site = site.ttl(Duration::from_secs(2));
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let roles = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&roles);
    let leader = candidate(&ours).on_change(move |role| {
        told.lock().unwrap().push(role);
        assert_ne!(role, Role::Candidate, "a panic in it harms nobody");
    });
    let terms = AtomicU32::new(0);
    let run = leader.run(async |term: &Guard| {
        if terms.fetch_add(1, Ordering::SeqCst) == 0 {
            assert!(theirs.break_lock("scheduler").await.unwrap());
            // Where no news comes by itself, one has to ask. It is dropped here.
            while term.verify().await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
            std::future::pending::<()>().await;
        }
        assert!(!term.is_lost());
        leader.role()
    });
    let last = in_time("the second term", SOON, run).await.unwrap().unwrap();
    assert_eq!(terms.load(Ordering::SeqCst), 2);
    let roles = roles.lock().unwrap();
    let fenced = |role| matches!(role, Role::Leader { .. });
    assert!(
        matches!(roles[..], [first, Role::Candidate, second, Role::Stopped]
        if fenced(first) && second == last),
        "{roles:?}"
    );
}

pub(crate) async fn stop_ends_each_run(site: Site) {
    let locker = site.locker().await;
    let held = locker.lock("scheduler").acquire().await.unwrap();
    let waiting = candidate(&locker);
    let stop = async {
        sleep(Duration::from_millis(20)).await;
        let other = waiting.clone();
        std::thread::spawn(move || other.stop()).join().unwrap();
    };
    let (ended, ()) = tokio::join!(in_time("the end", SOON, waiting.run(for_ever)), stop);
    assert_eq!(ended.unwrap(), None);
    // For good.
    assert_eq!(waiting.run(for_ever).await.unwrap(), None);
    assert_eq!(waiting.clone().run_blocking(|_| ()).unwrap(), None);
    assert_eq!(waiting.changed().await, Role::Stopped);

    // One that is dropped steps down, and can run again.
    held.release().await.unwrap();
    let leader = candidate(&locker);
    let dropped = async {
        tokio::select! {
            _ = leader.run(for_ever) => unreachable!(),
            _ = leads(&leader) => {}
        }
    };
    dropped.await;
    assert_eq!(leader.role(), Role::Stopped);
    let value = in_time("another run", SOON, leader.run(async |_: &Guard| 7)).await;
    assert_eq!(value.unwrap(), Some(7));
    assert!(matches!(leader.role(), Role::Stopped));
}

pub(crate) async fn blocking_run_does_the_same(site: Site) {
    let (ours, theirs) = (site.locker().await, site.locker().await);
    let leader = candidate(&ours);
    let second = candidate(&theirs);
    let serving = leader.clone();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let mut begin = Some(begin);
    let run = tokio::task::spawn_blocking(move || {
        serving.run_blocking(|term| {
            begin.take().map(|begin| begin.send(()));
            while !term.is_lost() && serving.role() != Role::Stopped {
                std::thread::sleep(Duration::from_millis(2));
            }
            "served"
        })
    });
    // One that is stopped before its body begins has no value.
    in_time("its body", SOON, begun).await.unwrap();
    leads(&leader).await;
    let next = tokio::spawn({
        let second = second.clone();
        async move { second.run(async |_: &Guard| "next").await }
    });
    assert_eq!(second.role(), Role::Candidate);
    leader.stop();
    assert_eq!(in_time("the end", SOON, run).await.unwrap().unwrap(), Some("served"));
    assert_eq!(in_time("the next", SOON, next).await.unwrap().unwrap(), Some("next"));
}

pub(crate) async fn what_no_repetition_mends_ends_the_run(site: Site) {
    let locker = site.locker().await;
    let leader = candidate(&locker).retry_after(Duration::ZERO);
    assert!(matches!(leader.run(for_ever).await, Err(Error::Config { .. })));
    let leader = candidate(&locker);
    let twice = leader
        .run(async |_: &Guard| {
            let again = leader.run(for_ever).await;
            assert!(matches!(again, Err(Error::Config { .. })), "{again:?}");
            let other = candidate(&locker).run(for_ever).await;
            assert!(matches!(other, Err(Error::Reentrant { .. })), "{other:?}");
        })
        .await;
    assert_eq!(twice.unwrap(), Some(()));
    locker.clone().close().await;
    let closed = candidate(&locker).run(for_ever).await;
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");
}
