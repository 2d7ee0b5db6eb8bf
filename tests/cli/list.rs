//! What others hold, and how it is taken from them.

use dlock_tests::Site;
use serde_json::Value;

use crate::Cli;

pub(crate) async fn shows_who_holds(site: Site) {
    let cli = Cli::on(&site);
    assert_eq!(cli.run(["test", "k"]).code, Some(0));
    let outcome = cli.run(["who", "k"]);
    assert_eq!((outcome.code, &*outcome.out), (Some(0), ""));
    let guard = site.locker().await.lock("k").acquire().await.unwrap();
    assert_eq!(cli.run(["test", "k"]).code, Some(75));
    assert!(!cli.run(["who", "k"]).out.trim().is_empty());
    let native = site.locker().await.explain("k").native.to_string();
    let rows = cli.run(["ls"]).out;
    let ours = rows.lines().filter(|row| row.contains("exclusive")).count();
    assert!(ours > 0 && rows.lines().all(|row| row.split('\t').count() == 5), "{rows}");
    let rows = cli.run(["ls", "--json"]).out;
    let rows = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    let row = rows.into_iter().find(|row| row["native"] == *native).unwrap();
    assert_eq!(row["mode"], "exclusive");
    assert!(!row["holders"][0]["who"].as_str().unwrap().is_empty());
    let waited = cli.run(["wait", "k", "-w", "100ms"]);
    assert_eq!(waited.code, Some(75), "{waited:?}");
    guard.release().await.unwrap();
    assert_eq!(cli.run(["wait", "k", "-w", "10"]).code, Some(0));
    assert_eq!(cli.run(["test", "k"]).code, Some(0));
}

pub(crate) async fn break_needs_a_yes(site: Site) {
    let cli = Cli::on(&site);
    let outcome = cli.run(["break", "-y", "k"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("nobody holds \"k\""), "{}", outcome.err);
    let guard = site.locker().await.lock("k").acquire().await.unwrap();
    // Nobody is there to be asked.
    let outcome = cli.run(["break", "k"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains("it needs a yes, or -y"), "{}", outcome.err);
    guard.verify().await.unwrap();
    let outcome = cli.run(["break", "-y", "k"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.out.starts_with("\"k\" is free; it was held by "), "{}", outcome.out);
    assert!(guard.verify().await.unwrap_err().is_lost());
    assert_eq!(cli.run(["test", "k"]).code, Some(0));
}
