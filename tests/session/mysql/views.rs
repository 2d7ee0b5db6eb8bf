//! What the server shows of locks, and to whom.

use std::time::Duration;

use dlock::{LockStatus, Locker, Severity};
use dlock_tests::{Backend, Server, Site, Witness, eventually_async, timeout_with_holder};

const SOON: Duration = Duration::from_secs(5);

async fn status_of(locker: &Locker, key: &str) -> Option<LockStatus> {
    let native = locker.explain(key).native;
    locker.status().await.unwrap().into_iter().find(|status| status.native == native)
}

pub(crate) async fn show_holders_and_waiters(site: Site) {
    let holding = site.named("holding").locker().await;
    let waiting_site = site.named("waiting");
    let waiting = waiting_site.locker().await;
    let ours = site.locker().await;
    let mut witness = Witness::at(&site.url).await;
    assert!(status_of(&ours, "k").await.is_none());
    let held = holding.lock("k").acquire().await.unwrap();
    let lock = waiting.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    eventually_async("it waits", SOON, async || witness.waits(&waiting_site).await == 1).await;
    let status = status_of(&ours, "k").await.unwrap();
    let [holder] = &status.holders[..] else { panic!("{status:?}") };
    let [waits] = &status.waiters[..] else { panic!("{status:?}") };
    assert!(holder.who.contains("root@"), "{}", holder.who);
    assert!(waits.who.contains("root@") && waits.who.contains(&waiting_site.name), "{}", waits.who);
    assert!(waits.held_for.is_some_and(|time| time < SOON));
    // The process that holds it knows since when.
    let status = status_of(&holding, "k").await.unwrap();
    assert!(status.holders[0].who.starts_with("this process"), "{status:?}");
    assert!(status.holders[0].held_for.is_some());
    held.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
    assert!(status_of(&ours, "k").await.is_none());
    assert!(ours.check().await.unwrap().is_ok());
}

/// A user with rights on a database of its own only, and a password.
pub(crate) async fn do_without_rights(site: Site) {
    let (_, address) = site.url.rsplit_once('@').unwrap();
    let (server, _) = address.split_once('/').unwrap();
    let url = format!("mysql://app:secret@{server}/app");
    let app = async || {
        let builder = Locker::builder(&url).namespace(&site.namespace);
        builder.application_name("billing").connect().await.unwrap()
    };
    let (holding, waiting, ours) = (app().await, app().await, app().await);
    let mut witness = Witness::at(&site.url).await;
    let held = holding.lock("k").acquire().await.unwrap();
    let lock = waiting.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    let name = holding.explain("k").native.to_string();
    let waits = format!(
        "SELECT count(*) FROM information_schema.processlist \
         WHERE state = 'User lock' AND info LIKE '%{name}%' AND ? <> ''"
    );
    eventually_async("it waits", SOON, async || witness.number(&waits, &site).await == 1).await;
    let status = status_of(&ours, "k").await.unwrap();
    assert!(status.holders[0].who.contains("app@"), "{status:?}");
    assert!(status.waiters[0].who.contains("billing, app@"), "{status:?}");
    held.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();

    let report = ours.check().await.unwrap();
    assert!(report.is_ok(), "{report}");
    if site.backend == Some(Backend::MySql) {
        let found = report.findings.iter().find(|found| found.severity == Severity::Note);
        assert!(found.unwrap().remedy.contains("GRANT SELECT ON performance_schema.*"), "{report}");
    }
}

/// What MariaDB shows by itself, and MySQL with its views off: who waits, and for whom.
pub(crate) async fn do_without_views(site: Site) {
    let mysql = site.backend == Some(Backend::MySql);
    let settings: &[&str] = if mysql { &["performance_schema=OFF"] } else { &[] };
    let Some(server) = Server::like(&site, settings) else { return };
    let mut witness = Witness::at(server.url()).await;
    if !mysql {
        witness.run("UNINSTALL SONAME 'metadata_lock_info'").await;
    }
    let site = Site::at(server.url());
    let (holding, ours) = (site.locker().await, site.locker().await);
    let waiting_site = site.named("waiting");
    let waiting = waiting_site.locker().await;
    let held = holding.lock("k").acquire().await.unwrap();
    assert!(status_of(&ours, "k").await.is_none());
    let error = ours.lock("k").timeout(Duration::from_millis(100)).acquire().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let lock = waiting.lock("k");
    let waiter = tokio::spawn(async move { lock.acquire().await });
    eventually_async("it waits", SOON, async || witness.waits(&waiting_site).await == 1).await;
    let status = status_of(&ours, "k").await.unwrap();
    assert!(status.holders[0].who.contains("root@"), "{status:?}");
    assert!(status.waiters[0].who.contains(&waiting_site.name), "{status:?}");
    held.release().await.unwrap();
    waiter.await.unwrap().unwrap().release().await.unwrap();
    let report = ours.check().await.unwrap();
    let remedy = if mysql { "performance_schema=ON" } else { "INSTALL SONAME" };
    assert!(report.is_ok() && report.to_string().contains(remedy), "{report}");
}

pub(crate) async fn name_the_holder_of_a_wait_that_ran_out(site: Site) {
    let held = site.named("theirs").locker().await.lock("k").acquire().await.unwrap();
    let ours = site.locker().await;
    let lock = ours.lock("k").timeout(Duration::from_millis(100));
    let error = timeout_with_holder(&lock).await;
    assert!(error.to_string().contains("root@"), "{error}");
    held.release().await.unwrap();
}
