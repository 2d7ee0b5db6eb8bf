//! The lockers of a process, by name.

use std::future::Future;
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dlock::{Error, Locker, registry};
use dlock_tests::{Backend, Proxy, Site, in_time, not_run};

use crate::alone;

fn clear() {
    for name in registry::names() {
        registry::remove(&name);
    }
}

#[test]
fn memory_spaces_have_one_name_in_two_forms() {
    alone(|| async {
        clear();
        let (one, other) = ("memory:two-forms", "memory://two-forms");
        let locker = Locker::connect(one).await.unwrap();
        let held = locker.lock("k").acquire().await.unwrap();
        let same = Locker::connect(other).await.unwrap();
        assert!(same.lock("k").try_acquire().await.unwrap().is_none());
        drop(held);
        let (all, same) = (Locker::connect("memory:").await, Locker::connect("memory://").await);
        let _held = all.unwrap().lock("two-forms").acquire().await.unwrap();
        assert!(same.unwrap().lock("two-forms").try_acquire().await.unwrap().is_none());
        dlock::init(one).await.unwrap();
        dlock::init(other).await.unwrap();
        clear();
    });
}

#[test]
fn builder_installs_what_it_connects() {
    alone(|| async {
        let builder = |name: &str| Locker::builder("memory:builder").namespace(name);
        let locker = builder("a").init().await.unwrap();
        assert!(registry::default().is_ok());
        let again = builder("a").init().await;
        assert!(matches!(again, Err(Error::AlreadyInstalled { .. })), "{again:?}");
        let again = tokio::task::spawn_blocking(move || builder("a").init_blocking());
        assert!(matches!(again.await.unwrap(), Err(Error::AlreadyInstalled { .. })));
        locker.close().await;
        // One that is closed is in nobody's way.
        let anew = tokio::task::spawn_blocking(move || builder("a").init_blocking());
        anew.await.unwrap().unwrap();
        drop(registry::default().unwrap().lock("k").acquire().await.unwrap());
        builder("b").install("billing").await.unwrap();
        drop(registry::get("billing").unwrap().lock("k").acquire().await.unwrap());
        let taken = builder("b").install("billing").await;
        assert!(matches!(taken, Err(Error::AlreadyInstalled { .. })), "{taken:?}");
        registry::remove("billing");
        registry::remove("default");
    });
}

#[test]
fn install_get_remove() {
    alone(|| async {
        clear();
        let locker = Locker::connect("memory:install").await.unwrap();
        registry::install("b", locker.clone()).unwrap();
        registry::install("a", Locker::connect("memory:other").await.unwrap()).unwrap();
        assert_eq!(registry::names(), ["a", "b"]);
        let error = registry::install("b", locker.clone()).unwrap_err();
        assert!(matches!(&error, Error::AlreadyInstalled { name } if &**name == "b"), "{error}");
        // What was got is what was installed: they exclude each other.
        let guard = registry::get("b").unwrap().lock("k").acquire().await.unwrap();
        assert!(locker.lock("k").try_acquire().await.unwrap().is_none());
        let a = registry::get("a").unwrap();
        a.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
        // Who has it goes on with it.
        let removed = registry::remove("b").unwrap();
        assert!(registry::remove("b").is_none());
        assert!(removed.lock("k").try_acquire().await.unwrap().is_none());
        guard.release().await.unwrap();
        assert_eq!(registry::names(), ["a"]);
        registry::install("b", removed).unwrap();
        clear();
    });
}

#[test]
fn not_installed_shows_what_to_call() {
    alone(|| async {
        clear();
        let error = registry::default().unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::NotInstalled { .. }));
        assert!(text.contains("\"default\"") && text.contains("dlock::init("), "{text}");
        registry::install("billing", Locker::connect("memory:").await.unwrap()).unwrap();
        let Error::NotInstalled { name, installed } = registry::get("bling").unwrap_err() else {
            panic!("another error");
        };
        assert_eq!((&*name, &installed[..]), ("bling", &["billing".to_owned()][..]));
        let text = registry::get("bling").unwrap_err().to_string();
        assert!(text.contains("\"bling\"") && text.contains("billing"), "{text}");
        clear();
    });
}

#[test]
fn init_twice_with_the_same_url_is_one_locker() {
    alone(|| async {
        clear();
        let url = "memory:init";
        // At once, and again: one of them connects.
        let (one, two) = tokio::join!(dlock::init(url), dlock::init(url));
        let guard = one.unwrap().lock("k").acquire().await.unwrap();
        let error = two.unwrap().lock("k").timeout(Duration::from_millis(1));
        let error = error.acquire().await.unwrap_err().to_string();
        assert!(error.contains("held by this process"), "{error}");
        assert_eq!(registry::names(), ["default"]);
        guard.release().await.unwrap();
        let locker = dlock_tests::on_a_thread(move || dlock::init_blocking(url)).unwrap();
        let error = dlock::init("memory:another").await.unwrap_err();
        assert!(matches!(error, Error::AlreadyInstalled { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("registry::remove"), "{text}");
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
        // Closed and removed, there is room for another.
        registry::remove("default").unwrap().close().await;
        dlock::init("memory:another").await.unwrap();
        clear();
    });
}

#[test]
fn init_that_fails_installs_nothing() {
    alone(|| async {
        clear();
        dlock::init("nonsense://x").await.unwrap_err();
        assert!(registry::names().is_empty());
        dlock::init("memory:").await.unwrap();
        clear();
    });
}

/// In a process of its own, for the environment belongs to all of it.
#[test]
fn init_from_env() {
    alone(|| async {
        let said = |url: Option<&str>| {
            let mut taker = Command::new(env!("CARGO_BIN_EXE_taker"));
            taker.args(["memory:", "", "", "", "init-from-env"]).env_remove("DLOCK_URL");
            taker.envs(url.map(|url| ("DLOCK_URL", url)));
            String::from_utf8(taker.output().unwrap().stdout).unwrap()
        };
        for unset in [said(None), said(Some(""))] {
            assert!(unset.contains("DLOCK_URL is not set"), "{unset}");
        }
        let set = said(Some("memory:"));
        assert!(set.starts_with("Locker"), "{set}");
        let nonsense = said(Some("nonsense:"));
        assert!(nonsense.contains("unknown scheme nonsense:"), "{nonsense}");
    });
}

#[test]
fn init_replaces_what_is_closed() {
    alone(|| async {
        clear();
        let url = "memory:init-closed";
        for other in [url, "memory:init-closed-other"] {
            let locker = dlock::init(url).await.unwrap();
            locker.lock("k").acquire().await.unwrap().release().await.unwrap();
            locker.close().await;
            let locker = dlock::init(other).await.unwrap();
            locker.lock("k").acquire().await.unwrap().release().await.unwrap();
            registry::default().unwrap().close().await;
        }
        // Installed under a name by hand, it stays what it is.
        let closed = registry::default().unwrap();
        assert!(matches!(closed.lock("k").acquire().await, Err(Error::Closed)));
        clear();
    });
}

/// The one that waits for the other blocks the thread that the other is on.
#[test]
fn init_blocking_beside_a_pending_init_of_the_same_thread() {
    alone(|| async {
        for n in 0..20 {
            clear();
            let url = format!("memory:init-pending-{n}");
            let mut pending = pin!(dlock::init(&url));
            let first = pending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let locker = dlock::init_blocking(&url).unwrap();
            let guard = locker.lock("k").acquire_blocking().unwrap();
            let same = match first {
                Poll::Ready(locker) => locker,
                Poll::Pending => pending.await,
            };
            let error = same.unwrap().lock("k").timeout(Duration::from_millis(1)).acquire().await;
            let error = error.unwrap_err().to_string();
            assert!(error.contains("held by this process"), "{error}");
            guard.release().await.unwrap();
            // Another url does not wait for ever either.
            clear();
            let mut pending = pin!(dlock::init(&url));
            let _ = pending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            let error = dlock::init_blocking("memory:another").unwrap_err();
            assert!(matches!(error, Error::AlreadyInstalled { .. }), "{error}");
        }
        clear();
    });
}

/// One that is given up does not keep others from it, and one that fails fails for its own url only.
#[test]
fn init_goes_on_after_others_have_gone_or_failed() {
    alone(|| async {
        clear();
        {
            let mut pending = pin!(dlock::init("memory:given-up"));
            let asked = pending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            // It may have been quick.
            assert!(asked.is_ready() || registry::names().is_empty());
        }
        clear();
        // Nobody listens there.
        let down = "postgres://nobody@127.0.0.1:9/none";
        let (one, two, three) =
            tokio::join!(dlock::init(down), dlock::init(down), dlock::init("memory:up"));
        for down in [one, two] {
            let error = down.unwrap_err();
            let known = matches!(error, Error::Unavailable { .. } | Error::AlreadyInstalled { .. });
            assert!(known, "{error}");
        }
        three.unwrap().lock("k").acquire().await.unwrap().release().await.unwrap();
        clear();
    });
}

#[test]
fn shutdown_closes_all_lockers_of_the_registry() {
    alone(|| async {
        clear();
        let one = dlock::init("memory:shutdown").await.unwrap();
        let two = Locker::connect("memory:shutdown-two").await.unwrap();
        let apart = Locker::connect("memory:shutdown").await.unwrap();
        registry::install("two", two.clone()).unwrap();
        let guard = one.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn({
            let lock = one.lock("k");
            async move { lock.acquire().await.map(drop) }
        });
        tokio::task::yield_now().await;
        dlock::shutdown().await;
        assert!(guard.is_lost());
        assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
        for closed in [&one, &two] {
            assert!(matches!(closed.lock("k").acquire().await, Err(Error::Closed)));
        }
        // What is not in the registry goes on.
        apart.lock("k").try_acquire().await.unwrap().unwrap().release().await.unwrap();
        dlock::init("memory:shutdown").await.unwrap();
        dlock_tests::on_a_thread(dlock::shutdown_blocking);
        assert!(matches!(
            registry::default().unwrap().lock("k").acquire().await,
            Err(Error::Closed)
        ));
        clear();
    });
}

/// Twice, and by a server that does not answer: it is over all the same, and all can begin anew.
#[test]
fn shutdown_is_bounded_and_can_be_repeated() {
    const LONGEST: Duration = Duration::from_secs(10 + 5);
    const AT_ONCE: Duration = Duration::from_secs(5);
    let site = match Site::on(Backend::Postgres) {
        Ok(site) => site,
        Err(why) => return not_run("the bound of shutdown", &why),
    };
    alone(move || async move {
        clear();
        let proxy = Proxy::to(&site.url).await;
        for url in [proxy.url().to_owned(), format!("lease+{}", proxy.url())] {
            let locker = Locker::builder(&url).namespace(&site.namespace).init().await.unwrap();
            let guard = locker.lock("k").acquire().await.unwrap();
            let waiting = tokio::spawn({
                let lock = locker.lock("k");
                async move { lock.acquire().await.map(drop) }
            });
            tokio::task::yield_now().await;
            proxy.go_silent();
            in_time("the end", LONGEST, dlock::shutdown()).await;
            assert!(guard.is_lost());
            assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
            let again = async {
                dlock::shutdown().await;
                dlock_tests::on_a_thread(dlock::shutdown_blocking);
            };
            in_time("the end of what has ended", AT_ONCE, again).await;
            proxy.come_back();
            let anew = Locker::builder(&url).namespace(&site.namespace).init().await.unwrap();
            anew.lock("other").acquire().await.unwrap().release().await.unwrap();
            in_time("an end in good order", AT_ONCE, dlock::shutdown()).await;
        }
        clear();
    });
}
