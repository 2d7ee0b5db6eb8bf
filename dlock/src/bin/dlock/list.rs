//! `dlock ls`, `who`, `test`, `wait` and `break`: locks that others hold.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin, stdout};

use dlock::{LockStatus, Locker};
use serde_json::json;

use crate::args::{Break, Common, Ls, Wait};
use crate::failure::{BUSY, Failure};
use crate::held;
use crate::locker::{close, connect};
use crate::output::{self, holder_text, print, rows, table};
use crate::signals::Signals;
use crate::waiting::{until_stopped, with_progress};
use crate::watch;

/// `break` on a key that nobody holds.
const NOT_HELD: u8 = 1;

/// `dlock ls`
pub(crate) async fn ls(common: &Common, ls: &Ls) -> Result<u8, Failure> {
    let locker = connect(common).await?;
    let ended = if ls.watch && !common.json && stdout().is_terminal() {
        watch::watch(&locker).await
    } else {
        list(common, &locker).await
    };
    close(locker, ended).await
}

async fn list(common: &Common, locker: &Locker) -> Result<u8, Failure> {
    let statuses = locker.status().await?;
    if common.json {
        print(statuses.iter().map(output::json));
        return Ok(0);
    }
    let rows: Vec<_> = statuses.iter().flat_map(rows).collect();
    if stdout().is_terminal() {
        print(table(&rows));
    } else {
        print(rows.iter().map(|row| row.join("\t")));
    }
    Ok(0)
}

/// `dlock who`
pub(crate) async fn who(common: &Common, key: &str) -> Result<u8, Failure> {
    let locker = connect(common).await?;
    let found = find(&locker, key).await;
    let status = close(locker, found.map_err(Failure::from)).await?;
    match status {
        Some(status) if common.json => print([output::json(&status)]),
        Some(status) => print(status.holders.iter().map(holder_text)),
        None if common.json => print([json!({ "key": key, "holders": [] }).to_string()]),
        None if common.quiet => {}
        None => eprintln!("dlock: nobody holds \"{}\"", dlock::Key::from(key)),
    }
    Ok(0)
}

/// `dlock test`
pub(crate) async fn test(common: &Common, key: &str) -> Result<u8, Failure> {
    let locker = connect(common).await?;
    let found = find(&locker, key).await;
    let status = close(locker, found.map_err(Failure::from)).await?;
    let held = status.is_some_and(|status| !status.holders.is_empty());
    if common.json {
        print([json!({ "key": key, "held": held }).to_string()]);
    }
    Ok(if held { BUSY } else { 0 })
}

/// `dlock wait`
pub(crate) async fn wait(common: &Common, wait: &Wait) -> Result<u8, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::refused(error.to_string()))?;
    let locker = until_stopped(&mut signals, connect(common)).await??;
    let lock = locker.lock(&wait.key).timeout(held::wait(false, wait.wait));
    let acquire = with_progress(common, &locker, &wait.key, lock.acquire());
    let ended = match until_stopped(&mut signals, acquire).await {
        Ok(Ok(guard)) => guard.release().await.map(|()| 0).map_err(Failure::from),
        Ok(Err(error)) => Err(error.into()),
        Err(stopped) => Err(stopped),
    };
    close(locker, ended).await
}

/// `dlock break`
pub(crate) async fn break_lock(common: &Common, what: &Break) -> Result<u8, Failure> {
    let locker = connect(common).await?;
    let ended = break_one(common, what, &locker).await;
    close(locker, ended).await
}

async fn break_one(common: &Common, what: &Break, locker: &Locker) -> Result<u8, Failure> {
    let key = dlock::Key::from(&what.key);
    let found = find(locker, &what.key).await?;
    let Some(status) = found.filter(|status| !status.holders.is_empty()) else {
        return Err(Failure::new(NOT_HELD, format!("nobody holds \"{key}\"")));
    };
    let holders: Vec<String> = status.holders.iter().map(holder_text).collect();
    let holders = holders.join("; ");
    if !what.yes && !is_confirmed(&format!("\"{key}\" is held by {holders}. Break it? [y/N] ")) {
        return Err(Failure::new(NOT_HELD, "nothing was done: it needs a yes, or -y"));
    }
    if !locker.break_lock(&what.key).await? {
        return Err(Failure::new(NOT_HELD, format!("\"{key}\" was released before")));
    }
    if common.json {
        print([json!({ "key": what.key, "broken": true, "held_by": holders }).to_string()]);
    } else if !common.quiet {
        print([format!("\"{key}\" is free; it was held by {holders}")]);
    }
    Ok(0)
}

/// Asks the person at the terminal, if there is one.
fn is_confirmed(question: &str) -> bool {
    if !stdin().is_terminal() {
        return false;
    }
    eprint!("{question}");
    let _ = stderr().flush();
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

/// This lock, as the server sees it, if anybody holds it or waits for it.
pub(crate) async fn find(locker: &Locker, key: &str) -> dlock::Result<Option<LockStatus>> {
    let native = locker.explain(key).native;
    let statuses = locker.status().await?;
    Ok(statuses.into_iter().find(|status| status.native == native))
}
