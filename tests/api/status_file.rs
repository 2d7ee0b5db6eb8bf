//! What a process says of itself in a file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dlock::{Error, Locker};
use dlock_tests::{Temp, eventually_async};

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.ends_with('\n'), "cut off: {text:?}");
    text.lines().map(str::to_owned).collect()
}

async fn says(file: &Path, wanted: &[&str]) {
    let process = format!("process\t{}", std::process::id());
    let wanted: Vec<_> = [&wanted[..1], &[&*process], &wanted[1..]].concat();
    let limit = Duration::from_secs(5);
    eventually_async("the status file", limit, async || lines(file) == wanted).await;
}

#[tokio::test]
async fn tells_what_is_held_and_waited_for() {
    let folder = Temp::new();
    let file = folder.file("status");
    let builder = Locker::builder("memory:status-file").status_file(&file);
    let locker = builder.connect().await.unwrap();
    says(&file, &["idle"]).await;

    let guard = locker.lock("user:7").acquire().await.unwrap();
    says(&file, &["held", "held\tuser:7\texclusive"]).await;

    let page = locker.lock("pa\tge").shared().acquire().await.unwrap();
    let other = Locker::connect("memory:status-file").await.unwrap();
    let theirs = other.lock("theirs").acquire().await.unwrap();
    let waiting = locker.lock("theirs");
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    let all =
        ["held", "held\tpa\\tge\tshared", "held\tuser:7\texclusive", "waiting\ttheirs\texclusive"];
    says(&file, &all).await;

    guard.release().await.unwrap();
    drop(page);
    says(&file, &["waiting", "waiting\ttheirs\texclusive"]).await;
    theirs.release().await.unwrap();
    let got = waiting.await.unwrap().unwrap();
    says(&file, &["held", "held\ttheirs\texclusive"]).await;

    // Whatever is held is so no more when this has returned.
    locker.close().await;
    assert_eq!(lines(&file)[0], "idle");
    assert!(got.is_lost());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "drafts are left");
}

#[tokio::test]
async fn shows_a_fence() {
    let folder = Temp::new();
    let file = folder.file("status");
    let url = format!("sqlite://{}", folder.file("locks.db").display());
    let locker = Locker::builder(&url).status_file(&file).connect().await.unwrap();
    let guard = locker.lock("k").acquire().await.unwrap();
    let fence = guard.fence().unwrap();
    says(&file, &["held", &format!("held\tk\texclusive\t{fence}")]).await;
    drop((guard, locker));
    says(&file, &["idle"]).await;
}

#[tokio::test]
async fn is_replaced_as_a_whole() {
    let folder = Temp::new();
    let file = folder.file("status");
    let builder = Locker::builder("memory:status-file-whole").status_file(&file);
    let locker = builder.connect().await.unwrap();
    let churn = tokio::spawn(async move {
        for n in 0..2000_u32 {
            drop(locker.lock(format!("{n}")).acquire().await.unwrap());
            if n % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    while !churn.is_finished() {
        let lines = lines(&file);
        assert!(["idle", "held", "waiting"].contains(&&*lines[0]), "{lines:?}");
        tokio::task::yield_now().await;
    }
    churn.await.unwrap();
}

#[tokio::test]
async fn is_refused_where_it_cannot_be_written() {
    let path = Temp::new().file("no/such/folder/status");
    let refused = Locker::builder("memory:").status_file(&path).connect().await;
    let Err(Error::Config { message }) = refused else { panic!("{refused:?}") };
    assert!(message.contains("no/such/folder/status"), "{message}");
}
