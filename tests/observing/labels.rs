//! What `#[locked]` calls a lock: the text of its template.

use std::time::Duration;

use dlock::{Locker, registry};
use dlock_tests::unique;

use crate::recorder::{listen, told};

#[dlock::locked(key = "user:<id>", locker = locker)]
async fn template(locker: &Locker, id: u64) -> dlock::Result<()> {
    Ok(())
}

#[dlock::locked(keys = ["from:<from>", "to:<to>", format!("by:{from}")], locker = locker)]
async fn several(locker: &Locker, from: u64, to: u64) -> dlock::Result<()> {
    Ok(())
}

#[dlock::locked(locker = locker)]
fn nightly(locker: &Locker) -> dlock::Result<()> {
    Ok(())
}

#[dlock::locked(key = format!("made:{id}"), locker = locker)]
async fn expression(locker: &Locker, id: u64) -> dlock::Result<()> {
    Ok(())
}

/// The labels of what was acquired, with the keys.
fn labels(locker: &str) -> Vec<(String, String)> {
    let mut acquired = told(locker);
    acquired.retain(|told| told.name == "acquired");
    let label = |told: &crate::recorder::Told| {
        (told.text("key").unwrap().to_owned(), told.text("lock").unwrap().to_owned())
    };
    let mut labels: Vec<_> = acquired.iter().map(label).collect();
    labels.sort();
    labels
}

#[tokio::test(flavor = "multi_thread")]
async fn are_the_texts_of_templates() {
    listen();
    let name = unique("labels");
    let locker =
        Locker::builder(&format!("memory:{name}")).namespace(&name).connect().await.unwrap();
    template(&locker, 7).await.unwrap();
    template(&locker, 8).await.unwrap();
    several(&locker, 3, 4).await.unwrap();
    expression(&locker, 7).await.unwrap();
    let own = locker.clone();
    tokio::task::spawn_blocking(move || nightly(&own)).await.unwrap().unwrap();
    let mut labels = labels(&name);
    let (path, label) = labels.remove(3);
    assert!(path.ends_with("labels::nightly"), "{path}");
    assert_eq!(label, "nightly");
    let expected = [
        ("by:3", ""),
        ("from:3", "from:<from>"),
        ("made:7", ""),
        ("to:4", "to:<to>"),
        ("user:7", "user:<id>"),
        ("user:8", "user:<id>"),
    ];
    let labels: Vec<_> = labels.iter().map(|(key, label)| (&**key, &**label)).collect();
    assert_eq!(labels, expected);
}

/// A locker is called by its name in the registry, by its namespace, or by the application's name.
#[tokio::test]
async fn lockers_have_names() {
    listen();
    let [namespace, application, installed] = ["ns", "app", "installed"].map(unique);
    let url = || format!("memory:{}", unique("names"));
    let by_namespace = Locker::builder(&url()).namespace(&namespace).application_name("ignored");
    let by_application = Locker::builder(&url()).application_name(&application);
    for locker in [by_namespace.connect().await.unwrap(), by_application.connect().await.unwrap()] {
        locker.lock("k").acquire().await.unwrap().release().await.unwrap();
    }
    let builder = Locker::builder(&url()).namespace("ignored");
    let by_registry = builder.install(&installed).await.unwrap();
    by_registry.lock("k").acquire().await.unwrap().release().await.unwrap();
    registry::remove(&installed);
    for name in [&namespace, &application, &installed] {
        assert_eq!(labels(name), [("k".to_owned(), String::new())], "{name}");
    }
}

#[tokio::test]
async fn limits_that_cannot_be_are_refused() {
    for builder in [
        Locker::builder("memory:limits").slow_wait(Duration::ZERO),
        Locker::builder("memory:limits").max_hold(Duration::ZERO),
    ] {
        let error = builder.connect().await.unwrap_err();
        assert!(error.to_string().contains(" is zero"), "{error}");
    }
}
