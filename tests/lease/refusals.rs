//! Terms that cannot be.

use std::time::Duration;

use dlock::{Error, LeaseOptions, Locker};
use dlock_tests::{Proxy, Site, in_time};

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn nonsense_is_refused_before_anything_is_asked() {
    // No server is there.
    const URL: &str = "lease+postgres://127.0.0.1:1/none";
    let options = LeaseOptions::new;
    for (nonsense, say) in [
        (options().ttl(Duration::ZERO), "ttl"),
        (options().ttl(99 * MS), "ttl"),
        (options().ttl(500 * MS).renew_before(500 * MS), "renew_before"),
        (options().renew_before(Duration::ZERO), "renew_before"),
        (options().renew_before(Duration::from_secs(11)), "renew_before"),
        (options().owner(""), "owner"),
        (options().owner("a\0b"), "owner"),
        (options().owner("a".repeat(256)), "owner"),
        (options().table("a b"), "table"),
        (options().table("a.b.c"), "table"),
        (options().table(""), "table"),
        (options().poll(Duration::ZERO, MS), "poll"),
        (options().poll(2 * MS, MS), "poll"),
    ] {
        let told = format!("{nonsense:?}");
        let error = Locker::builder(URL).lease_options(nonsense).connect().await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{told}: {error}");
        assert!(error.to_string().contains(say), "{told}: {error}");
    }
}

#[tokio::test]
async fn nonsense_of_a_lock_is_refused() {
    let folder = dlock_tests::Temp::new();
    let url = format!("sqlite://{}", folder.file("locks.db").display());
    let options = LeaseOptions::new().ttl(Duration::from_secs(9)).renew_before(2000 * MS);
    let locker = Locker::builder(&url).lease_options(options).connect().await.unwrap();
    let lock = || locker.lock("k");
    for (nonsense, say) in [
        (lock().ttl(Duration::ZERO), "ttl"),
        (lock().ttl(1500 * MS), "renew_before"),
        (lock().ttl(Duration::from_secs(400 * 86_400)), "ttl"),
        (lock().owner(""), "owner"),
        (lock().data(""), "data"),
        (lock().data("\0"), "data"),
        (lock().data("x".repeat(101)), "data"),
        (lock().data("x").owner("ada"), "data"),
        (lock().retry_every(Duration::ZERO), "retry_every"),
        (lock().min_hold(Duration::MAX), "min_hold"),
    ] {
        let error = nonsense.acquire().await.unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert!(error.to_string().contains(say), "{error}");
    }
    assert!(lock().try_acquire().await.unwrap().is_some(), "nothing was taken");
}

pub(crate) async fn sessions_have_no_such_terms(site: Site) {
    let proxy =
        if site.url.starts_with("memory") { None } else { Some(Proxy::to(&site.url).await) };
    let url = proxy.as_ref().map_or(&*site.url, |proxy| proxy.url());
    let locker = site.through(url).locker().await;
    if let Some(proxy) = &proxy {
        proxy.go_silent();
    }
    let lock = || locker.lock("k");
    for (lock, say) in [
        (lock().ttl(Duration::from_secs(9)), "ttl"),
        (lock().ttl(Duration::MAX), "ttl"),
        // Of whatever size.
        (lock().ttl(50 * MS), "ttl"),
        (lock().auto_renew(false), "auto_renew"),
        (lock().owner("ada"), "owner"),
        (lock().data("page 7"), "data"),
    ] {
        // The server would not answer.
        let asked = in_time("the refusal", Duration::from_secs(3), lock.acquire()).await;
        let error = asked.unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(say), "{error}");
    }
    let token = "dlock1.k.s.0123456789abcdef0123456789abcdef.0.10000.0".parse().unwrap();
    let error =
        in_time("the refusal", Duration::from_secs(3), locker.adopt(token)).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("lease+"), "{error}");
    let error = in_time("the refusal", Duration::from_secs(3), locker.prune(MS)).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("lease+"), "{error}");
}
