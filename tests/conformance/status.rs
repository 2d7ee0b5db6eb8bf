//! What can be seen of locks.

use std::time::Duration;

use dlock::{Error, Key, Mode};
use dlock_tests::{Backend, Site, eventually_async};

const PATIENCE: Duration = Duration::from_secs(10);

/// MariaDB shows locks only with a plugin; what it shows without is told by its own tests.
fn shows_locks(site: &Site) -> bool {
    !site.backend.is_some_and(Backend::is_mariadb)
}

/// Of a name, SQL Server shows the first 32 characters.
fn with_short_names(site: Site) -> Site {
    match site.backend {
        Some(Backend::Mssql) => site.namespace(&format!("{:06x}", fastrand::u32(..1 << 24))),
        _ => site,
    }
}

pub(crate) async fn held_key_is_shown_with_its_holder(site: Site) {
    let locker = site.locker().await;
    let key = Key::from("seen");
    let native = locker.explain(&key).native;
    let of_this = async || {
        let status = locker.status().await.unwrap();
        status.into_iter().find(|status| status.native == native)
    };
    assert_eq!(of_this().await, None, "nobody has it yet");

    let guard = locker.lock(&key).acquire().await.unwrap();
    if shows_locks(&site) {
        let status = of_this().await.expect("it is held");
        assert_eq!((&status.key, status.mode), (&key, Mode::Exclusive));
        assert_eq!(status.holders.len(), 1, "{status:?}");
        assert!(!status.holders[0].who.is_empty());
        assert!(status.waiters.is_empty(), "{status:?}");
    }
    guard.release().await.unwrap();
    assert_eq!(of_this().await, None, "it has been released");
    locker.close().await;
}

pub(crate) async fn waiter_is_shown(site: Site) {
    if site.backend.is_some_and(Backend::is_lease) || !shows_locks(&site) {
        // Who waits for a lease asks now and then, and is not to be seen.
        return;
    }
    let locker = site.locker().await;
    let other = site.named("other").locker().await;
    let guard = locker.lock("queue").acquire().await.unwrap();
    let native = locker.explain("queue").native;

    let waiter = tokio::spawn(async move { other.lock("queue").acquire().await });
    eventually_async("the waiter is shown", PATIENCE, async || {
        let status = locker.status().await.unwrap();
        let seen = status.into_iter().find(|status| status.native == native).unwrap();
        assert_eq!(seen.holders.len(), 1, "{seen:?}");
        seen.waiters.len() == 1
    })
    .await;
    guard.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

pub(crate) async fn timeout_names_the_holder(site: Site) {
    let locker = site.locker().await;
    let other = site.named("other").locker().await;
    let guard = locker.lock("taken").acquire().await.unwrap();
    // A busy machine may take longer to find out than a caller is made to wait for that.
    eventually_async("the holder is named", PATIENCE, async || {
        let waited = other.lock("taken").timeout(Duration::from_millis(50)).acquire().await;
        match waited {
            Err(Error::Timeout { holder, .. }) => holder.is_some_and(|h| !h.who.is_empty()),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let waited = locker.lock("taken").timeout(Duration::from_millis(50)).acquire().await;
    let text = waited.unwrap_err().to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    guard.release().await.unwrap();
}

/// Whatever the database calls a key: what is shown locks just that, for whoever asks.
pub(crate) async fn shown_key_is_the_one_that_locks(site: Site) {
    if !shows_locks(&site) {
        return;
    }
    let site = with_short_names(site);
    let holder = site.locker().await;
    let long = "x".repeat(300);
    let mut held = Vec::new();
    // Of a long name, SQL Server shows only the beginning, to those who do not hold it.
    let long = if site.backend == Some(Backend::Mssql) { "not long".into() } else { long };
    for key in ["user:42", "100%", "two\nlines", "é 🔒", "User", "~z", "%n5", &long] {
        held.push(holder.lock(key).acquire().await.unwrap());
    }
    let watchers = [site.clone(), site.namespace(""), site.namespace("elsewhere")];
    for (number, site) in watchers.iter().enumerate() {
        let watcher = site.locker().await;
        let status = watcher.status().await.unwrap();
        for guard in &held {
            let native = holder.explain(guard.key()).native;
            let seen = status.iter().find(|status| status.native == native);
            let shown = &seen.unwrap_or_else(|| panic!("{} is not shown", guard.key())).key;
            let free = watcher.lock(shown).try_acquire().await.unwrap();
            assert!(free.is_none(), "{number}: {} is shown as {shown}", guard.key());
            // Ids and hashes cannot be undone.
            let is_named = matches!(native, dlock::NativeKey::Name(_))
                && *guard.key() != Key::from("x".repeat(300));
            assert_eq!(shown == guard.key(), number == 0 && is_named, "{number}: {shown}");
        }
        watcher.close().await;
    }
    for status in holder.status().await.unwrap() {
        if let Some(guard) = held.iter().find(|g| holder.explain(g.key()).native == status.native) {
            assert_eq!(&status.key, guard.key());
        }
    }
}

/// Where the server shows only the beginning of a name, what this locker holds or waits for is shown by
/// all of it.
pub(crate) async fn long_name_of_its_own_is_shown_whole(site: Site) {
    if !shows_locks(&site) || site.backend.is_some_and(Backend::is_lease) {
        return;
    }
    let (ours, theirs) = (site.locker().await, site.named("theirs").locker().await);
    let name = |number: u32| Key::from(format!("a name as long as names of things are: {number}"));
    let shown = async |key: &Key| {
        let status = ours.status().await.unwrap();
        let mut of_key = status.into_iter().filter(|status| status.key == *key);
        let found = of_key.next();
        assert!(of_key.next().is_none(), "shown twice");
        found
    };
    let held = theirs.lock(name(1)).acquire().await.unwrap();
    let guard = ours.lock(name(2)).acquire().await.unwrap();
    let status = shown(&name(2)).await.expect("it is held");
    assert_eq!(status.native, ours.explain(name(2)).native);
    assert!(status.holders[0].who.contains("this process"), "{status:?}");
    // What begins alike and is not ours is not called so.
    assert_eq!(shown(&name(3)).await, None);
    guard.release().await.unwrap();
    let waiter = tokio::spawn({
        let lock = ours.lock(name(1)).timeout(PATIENCE);
        async move { lock.acquire().await }
    });
    eventually_async("the wait is shown with its holder", PATIENCE, async || {
        let status = shown(&name(1)).await;
        status.is_some_and(|status| status.holders.len() == 1 && status.waiters.len() == 1)
    })
    .await;
    held.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
}

/// The database knows of one session, or of none.
pub(crate) async fn each_caller_who_waits_is_shown(site: Site) {
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let held = theirs.lock("queue").acquire().await.unwrap();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let lock = ours.lock("queue");
        waiting.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
    }
    eventually_async("all three are shown", PATIENCE, async || {
        let status = ours.status().await.unwrap();
        let seen = status.iter().find(|status| status.key == Key::from("queue"));
        seen.is_some_and(|seen| {
            let our = |waiter: &dlock::Holder| waiter.who.contains("process");
            seen.waiters.len() == 3 && seen.waiters.iter().all(our)
        })
    })
    .await;
    held.release().await.unwrap();
    waiting.join_all().await;
}

/// A permit is a lock of the database's own, and so is the queue for one.
pub(crate) async fn permits_are_shown_as_one_lock(site: Site) {
    if !shows_locks(&site) {
        return;
    }
    let site = with_short_names(site);
    let theirs = site.named("theirs").locker().await;
    let ours = site.locker().await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(theirs.lock("permits").permits(2).acquire().await.unwrap());
    }
    let lock = ours.lock("permits").permits(2);
    let waiting = tokio::spawn(async move { lock.acquire().await.map(drop) });
    eventually_async("two hold and one waits", PATIENCE, async || {
        let status = ours.status().await.unwrap();
        let seen = status.iter().find(|status| status.key == Key::from("permits"));
        seen.is_some_and(|seen| (seen.holders.len(), seen.waiters.len()) == (2, 1))
    })
    .await;
    drop(held);
    waiting.await.unwrap().unwrap();
}

pub(crate) async fn set_up_is_in_order(site: Site) {
    let locker = site.locker().await;
    let report = locker.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    // It can be asked while there is work.
    let _guard = locker.lock("k").acquire().await.unwrap();
    assert!(locker.check().await.unwrap().is_ok());
}

pub(crate) async fn closed_locker_says_so(site: Site) {
    let locker = site.locker().await;
    locker.clone().close().await;
    assert!(matches!(locker.status().await, Err(Error::Closed)));
    assert!(matches!(locker.check().await, Err(Error::Closed)));
}
