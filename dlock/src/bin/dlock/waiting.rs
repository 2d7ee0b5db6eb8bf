//! Waiting for a lock: a signal ends it, and on a terminal a line says for whom it waits.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use dlock::{Key, Locker};
use tokio::time::sleep;

use crate::args::Common;
use crate::failure::Failure;
use crate::list;
use crate::output::{for_time, holder_text};
use crate::signals::Signals;

/// A wait this short is not worth a line.
const SHORT: Duration = Duration::from_secs(1);
/// How often the line is drawn, and how often the server is asked for the holder.
const REDRAW: Duration = Duration::from_secs(1);
const ASK: u32 = 5;

/// Does this until a signal comes: then it is dropped.
pub(crate) async fn until_stopped<T>(
    signals: &mut Signals,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        signal = signals.recv() => Err(Failure::stopped(signal as i32)),
        done = work => Ok(done),
    }
}

/// Does this, and shows meanwhile who holds the key.
pub(crate) async fn with_progress<T>(
    common: &Common,
    locker: &Locker,
    key: &str,
    work: impl Future<Output = T>,
) -> T {
    if common.quiet || common.json || !stderr().is_terminal() {
        return work.await;
    }
    let shown = async {
        let began = Instant::now();
        sleep(SHORT).await;
        let mut holder = String::new();
        for turn in 0.. {
            if turn % ASK == 0 {
                holder = who_holds(locker, key).await;
            }
            let waited = for_time(began.elapsed());
            show(&format!(
                "\r\x1b[Kdlock: waiting for \"{}\"{holder}, for {waited}",
                Key::from(key)
            ));
            sleep(REDRAW).await;
        }
    };
    let done = tokio::select! {
        biased;
        done = work => done,
        () = shown => return std::future::pending().await,
    };
    show("\r\x1b[K");
    done
}

async fn who_holds(locker: &Locker, key: &str) -> String {
    let found = list::find(locker, key).await;
    let status = found.ok().flatten();
    let holder = status.as_ref().and_then(|status| status.holders.first());
    holder.map(|holder| format!(", held by {}", holder_text(holder))).unwrap_or_default()
}

fn show(text: &str) {
    let mut terminal = stderr().lock();
    // The one who has closed it does not want to see it.
    let _ = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}
