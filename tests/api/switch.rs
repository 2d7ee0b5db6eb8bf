//! The one way to run without locks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dlock::{Error, Locker, Wait, registry, set_enabled};
use dlock_tests::{
    Backend, Proxy, Site, Temp, eventually, eventually_async, in_time, is_about, not_run,
};
use tokio::task::JoinSet;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::alone;

const SOON: Duration = Duration::from_secs(5);

#[dlock::locked(key = "user:<id>", locker = "nowhere")]
async fn update(id: u32) -> dlock::Result<u32> {
    Ok(id)
}

#[dlock::locked(key = "user:<id>", locker = "nowhere")]
fn update_sync(id: u32) -> dlock::Result<u32> {
    Ok(id)
}

#[dlock::locked(key = "k", locker = "nowhere", fenced, guard = lock)]
async fn fenced() -> dlock::Result<Option<u64>> {
    Ok(lock.fence())
}

/// Writes down how loud dlock is.
#[derive(Clone, Default)]
struct Levels(Arc<Mutex<Vec<Level>>>);

impl Subscriber for Levels {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "dlock" && *metadata.level() <= Level::INFO
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(*event.metadata().level());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn off_grants_everything_and_says_so_once() {
    alone(|| async {
        let levels = Levels::default();
        let locker = Locker::connect("memory:switch").await.unwrap();
        let held = locker.lock("k").acquire().await.unwrap();
        assert!(matches!(update(1).await, Err(Error::NotInstalled { .. })));
        assert!(matches!(update_sync(1), Err(Error::NotInstalled { .. })));
        tracing::subscriber::with_default(levels.clone(), || {
            set_enabled(true);
            set_enabled(false);
            set_enabled(false);
        });
        assert_eq!(*levels.0.lock().unwrap(), [Level::WARN]);

        let first = locker.lock("k").acquire().await.unwrap();
        let second = locker.lock("k").try_acquire().await.unwrap().unwrap();
        assert!(!second.is_lost());
        second.verify().await.unwrap();
        assert_eq!(second.protect(async { 7 }).await.unwrap(), 7);
        first.release().await.unwrap();
        drop(second);
        assert_eq!(locker.lock("k").run(async |_| 7).await.unwrap(), 7);
        assert_eq!(locker.lock("k").run_blocking(|_| 7).unwrap(), 7);
        locker.lock("k").acquire_blocking().unwrap().release_blocking().unwrap();
        // A token that code can unwrap, below all real ones.
        assert_eq!(locker.lock("k").fenced().acquire().await.unwrap().fence(), Some(0));
        assert_eq!(locker.lock("k").acquire().await.unwrap().fence(), None);
        assert_eq!(fenced().await.unwrap(), Some(0));
        // Without a locker, or with a closed one.
        assert_eq!(update(7).await.unwrap(), 7);
        assert_eq!(update_sync(7).unwrap(), 7);
        assert!(registry::get("nowhere").is_err());
        let closed = Locker::connect("memory:closed").await.unwrap();
        closed.clone().close().await;
        closed.lock("k").acquire().await.unwrap().release().await.unwrap();

        set_enabled(true);
        // What was held before is held; what was granted meanwhile has freed nothing.
        assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
        held.release().await.unwrap();
        locker.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
        assert!(matches!(update(1).await, Err(Error::NotInstalled { .. })));
    });
}

#[test]
fn nothing_is_said_in_the_normal_course() {
    alone(|| async {
        let levels = Levels::default();
        // The engine's own thread as well, so for the whole process.
        let quiet = tracing::subscriber::set_global_default(levels.clone());
        assert!(quiet.is_ok());
        let locker = Locker::connect("memory:quiet").await.unwrap();
        let guard = locker.lock("k").acquire().await.unwrap();
        let wait = std::time::Duration::from_millis(1);
        assert!(locker.lock("k").timeout(wait).acquire().await.unwrap_err().is_timeout());
        guard.release().await.unwrap();
        drop(locker.lock("k").acquire().await.unwrap());
        locker.close().await;
        assert!(levels.0.lock().unwrap().is_empty());
    });
}

/// A caller that waits already goes on, whatever kind of lock it is; what is held stays so.
#[test]
fn off_answers_those_who_wait_already() {
    alone(|| async {
        let folder = Temp::new();
        let sqlite = format!("sqlite://{}", folder.file("locks.db").display());
        for url in ["memory:switch-waits", &sqlite] {
            let locker = Locker::connect(url).await.unwrap();
            let held = locker.lock("k").acquire().await.unwrap();
            let permits = locker.lock("p").permits(2).timeout(Wait::Forever);
            let all = [permits.acquire().await.unwrap(), permits.acquire().await.unwrap()];
            let plain = locker.lock("k").timeout(Wait::Forever);
            let mut waiting = JoinSet::new();
            let lock = plain.clone().fenced();
            waiting.spawn(async move { lock.acquire().await.unwrap().fence() });
            let lock = permits.clone();
            waiting.spawn(async move { lock.acquire().await.map(drop).map(|()| None).unwrap() });
            let lock = locker.lock_all(["a", "k"]).timeout(Wait::Forever);
            waiting.spawn(async move { lock.acquire().await.map(drop).map(|()| None).unwrap() });
            let lock = plain.clone().retry_every(Duration::from_secs(3600));
            waiting.spawn(async move { lock.run(async |_| None).await.unwrap() });
            let lock = plain.clone();
            waiting.spawn_blocking(move || lock.run_blocking(|_| None).unwrap());
            let waits = async || {
                let status = locker.status().await.unwrap();
                status.iter().map(|status| status.waiters.len()).sum::<usize>() >= 5
            };
            eventually_async("all wait", SOON, waits).await;

            set_enabled(false);
            let mut fences = Vec::new();
            while let Some(fence) = in_time("an answer", SOON, waiting.join_next()).await {
                fences.push(fence.unwrap());
            }
            assert_eq!(fences.len(), 5);
            assert_eq!(fences.iter().flatten().collect::<Vec<_>>(), [&0]);
            set_enabled(true);

            assert!(!held.is_lost());
            assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
            held.release().await.unwrap();
            assert!(locker.lock("p").permits(2).try_acquire().await.unwrap().is_none());
            drop(all);
            let again = locker.lock("k").timeout(SOON).acquire().await.unwrap();
            again.release().await.unwrap();
            locker.close().await;
        }
    });
}

/// The day when the database is down: the program starts.
#[test]
fn off_needs_no_server() {
    alone(|| async {
        // Nobody listens there; it accepts, and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("postgres://app@{}/app", silent.local_addr().unwrap());
        let connecting = tokio::spawn({
            let url = silent.clone();
            async move { Locker::connect(&url).await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        set_enabled(false);
        in_time("who connects already", SOON, connecting).await.unwrap().unwrap();
        for url in ["postgres://app@127.0.0.1:1/app", "lease+mysql://app@127.0.0.1:1/app", &silent]
        {
            let locker = in_time("a locker", SOON, dlock::init(url)).await.unwrap();
            let again = url.to_owned();
            let again = tokio::task::spawn_blocking(move || dlock::init_blocking(&again));
            in_time("the same", SOON, again).await.unwrap().unwrap();
            locker.lock("k").acquire().await.unwrap().release().await.unwrap();
            let other = in_time("another", SOON, Locker::connect(url)).await.unwrap();
            other.lock("k").acquire().await.unwrap().release().await.unwrap();
            let wrong = Locker::builder(url).max_sessions(0).connect().await;
            assert!(matches!(wrong, Err(Error::Config { .. })), "mistakes stay mistakes");
            in_time("its end", SOON, registry::remove("default").unwrap().close()).await;
            assert!(matches!(locker.ping().await, Err(Error::Closed)));
        }
        let down = Locker::connect("postgres://app@127.0.0.1:1/app").await.unwrap();
        set_enabled(true);
        let error = in_time("an answer", SOON, down.lock("user:7").acquire()).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        is_about(&error, "user:7");
    });
}

/// When it is switched on, the connection is made, and locks are locks.
#[test]
fn on_connects_what_was_not() {
    let site = match Site::on(Backend::Postgres) {
        Ok(site) => site,
        Err(why) => return not_run("a locker that was connected while off", &why),
    };
    alone(|| async move {
        let proxy = Proxy::to(&site.url).await;
        set_enabled(false);
        let locker = site.through(proxy.url()).locker().await;
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
        assert_eq!(proxy.connections(), 0);
        set_enabled(true);
        eventually("it connects", SOON, || proxy.connections() > 0).await;
        let guard = locker.lock("k").acquire().await.unwrap();
        assert!(site.locker().await.lock("k").try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
    });
}

/// On a connection nothing is said to the server, which need not even be in order for that.
#[cfg(feature = "postgres")]
#[test]
fn own_connection_locks_nothing_while_off() {
    use sqlx::Connection as _;

    let site = match Site::on(Backend::Postgres) {
        Ok(site) => site,
        Err(why) => return not_run("the switch on an own connection", &why),
    };
    alone(|| async move {
        let proxy = Proxy::to(&site.url).await;
        let mut conn = sqlx::PgConnection::connect(proxy.url()).await.unwrap();
        let mut held = dlock::on(&mut conn).lock(&site.namespace);
        held.acquire().await.unwrap();
        set_enabled(false);
        let before = proxy.round_trips();
        let mut other = dlock::on(held.conn()).lock(&site.namespace);
        other.acquire().await.unwrap();
        assert!(other.is_held() && other.release().await.unwrap());
        let body = async |_: &mut sqlx::PgConnection| Ok::<_, Error>(7);
        let seven = dlock::on(held.conn()).lock_all(["a", "b"]).run(body).await;
        assert_eq!(seven.unwrap(), 7);
        dlock::within(held.conn()).lock("k").acquire().await.unwrap();
        let wrong = dlock::on(held.conn()).lock("k").mode(dlock::Mode::Update).acquire().await;
        assert!(matches!(wrong, Err(Error::Unsupported { .. })), "mistakes stay mistakes");
        assert_eq!(proxy.round_trips(), before);
        // What is held stays what it is.
        assert!(held.release().await.unwrap());
        set_enabled(true);
        assert!(!dlock::on(&mut conn).lock("k").release().await.unwrap());
    });
}

/// A locker for tests has no thread of its own that could be told.
#[test]
fn off_lets_those_pass_who_wait_for_a_locker_of_tests() {
    alone(|| async {
        let dlock = dlock::testing::Locker::new();
        dlock.busy("k");
        let lock = dlock.lock("k").timeout(Wait::Forever).fenced();
        let waiting = tokio::spawn(async move { lock.acquire().await });
        let waits =
            async || dlock.status().await.unwrap().iter().any(|locked| !locked.waiters.is_empty());
        eventually_async("one waits", SOON, waits).await;
        set_enabled(false);
        let guard = in_time("the guard", SOON, waiting).await.unwrap().unwrap();
        set_enabled(true);
        assert_eq!(guard.fence(), Some(0));
        guard.release().await.unwrap();
        assert!(dlock.lock("k").try_acquire().await.unwrap().is_none());
    });
}
