//! The lock is lost while the command runs.

use std::fs;

use dlock_tests::{Site, Temp};

use crate::Cli;
use crate::command::{is_alive, until};

/// Runs `script`, which is to write its process id into the file `pid`, and breaks its lock.
async fn broken(site: &Site, options: &[&str], script: &str, folder: &Temp) -> crate::Outcome {
    let cli = Cli::on(site);
    let words = ["run", "k"].into_iter().chain(options.iter().copied());
    let running = cli.start(words.chain(["--", "sh", "-c", script]));
    until("it runs", || {
        fs::read_to_string(folder.file("pid")).is_ok_and(|pid| pid.ends_with('\n'))
    });
    let outcome = cli.run(["break", "-y", "k"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    tokio::task::block_in_place(|| running.outcome())
}

/// `etcdctl lock` lets it go on, with 0 in the end.
pub(crate) async fn broken_lock_ends_the_command(site: Site) {
    let folder = Temp::new();
    let script = format!("echo $$ > {}; sleep 60 & wait", folder.file("pid").display());
    let outcome = broken(&site, &[], &script, &folder).await;
    assert_eq!(outcome.code, Some(74), "{outcome:?}");
    assert!(outcome.err.starts_with("dlock: lock \"k\" was lost after "), "{}", outcome.err);
    assert!(!is_alive(&fs::read_to_string(folder.file("pid")).unwrap()));
}

/// `consul lock` kills the shell only, and leaves orphans.
pub(crate) async fn command_that_ignores_term_is_killed(site: Site) {
    let folder = Temp::new();
    let (pid, child) = (folder.file("pid"), folder.file("child"));
    let script = format!(
        "trap '' TERM; (while :; do sleep 0.05; done) & echo $! > {}; echo $$ > {}; \
         while :; do sleep 0.05; done",
        child.display(),
        pid.display()
    );
    let outcome = broken(&site, &["--grace", "300ms"], &script, &folder).await;
    assert_eq!(outcome.code, Some(74), "{outcome:?}");
    for file in [pid, child] {
        let pid = fs::read_to_string(file).unwrap();
        until("it has ended", || !is_alive(&pid));
    }
}

pub(crate) async fn command_goes_on_if_it_is_told_to(site: Site) {
    let folder = Temp::new();
    let (pid, done) = (folder.file("pid"), folder.file("done"));
    let script = format!("echo $$ > {}; sleep 5; touch {}", pid.display(), done.display());
    let outcome = broken(&site, &["--on-lost", "continue"], &script, &folder).await;
    assert_eq!(outcome.code, Some(74), "{outcome:?}");
    assert!(done.exists());
}

/// On a server that is silent, the command ends before anybody else can have the lock.
#[tokio::test(flavor = "multi_thread")]
async fn command_ends_before_the_lock_does() {
    let Some(server) = dlock_tests::Server::start(dlock_tests::Backend::Postgres, &[]) else {
        return;
    };
    let (folder, cli) = (Temp::new(), Cli::at(&format!("lease+{}", server.url())));
    let (pid, term) = (folder.file("pid"), folder.file("term"));
    let script = format!(
        "trap 'touch {}; exit 0' TERM; echo $$ > {}; while :; do sleep 0.05; done",
        term.display(),
        pid.display()
    );
    let running =
        cli.start(["run", "--ttl", "6s", "--grace", "2s", "k", "--", "sh", "-c", &script]);
    until("it runs", || fs::read_to_string(&pid).is_ok_and(|pid| pid.ends_with('\n')));
    server.freeze();
    until("it is told to end", || term.exists());
    server.thaw();
    let outcome = tokio::task::block_in_place(|| running.outcome());
    assert_eq!(outcome.code, Some(74), "{outcome:?}");
    // While it was still held: not for the loss.
    assert!(
        outcome.err.starts_with("dlock: the database does not answer, and the lock is held for ")
    );
    assert!(!outcome.err.contains("was lost after"), "{}", outcome.err);
}
