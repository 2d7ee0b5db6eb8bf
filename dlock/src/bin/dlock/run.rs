//! `dlock run`: a command under a lock.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use dlock::{Locker, LostInfo};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::args::{Common, OnLost, Run};
use crate::child::{Change, Child};
use crate::failure::{BUSY, Failure, LOST};
use crate::held::{self, Held};
use crate::list;
use crate::locker;
use crate::shim;
use crate::signals::Signals;
use crate::waiting::{until_stopped, with_progress};

/// How long the server may take to confirm the release.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a process group that is to end is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// KILL comes this long before somebody else can have the lock.
const MARGIN: Duration = Duration::from_millis(100);

/// Takes the lock, runs the command, releases. The command's exit status.
pub(crate) async fn run(common: &Common, run: &Run) -> Result<u8, Failure> {
    held::check(run)?;
    let mut signals = Signals::new().map_err(|error| Failure::refused(error.to_string()))?;
    let locker = until_stopped(&mut signals, locker::connect(common)).await??;
    let ended = under_lock(common, run, &locker, &mut signals).await;
    locker::close(locker, ended).await
}

async fn under_lock(
    common: &Common,
    run: &Run,
    locker: &Locker,
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let first = run.keys.first().map(String::as_str).unwrap_or_default();
    let acquire = with_progress(common, locker, first, Held::acquire(locker, run));
    let held = match until_stopped(signals, acquire).await? {
        Ok(held) => held,
        Err(error) if locker::is_busy(&error) => return busy(common, run, locker, error).await,
        Err(error) => return Err(error.into()),
    };
    let environment = [
        Some(("DLOCK_KEY", run.keys.join("\n"))),
        held.fence().map(|fence| ("DLOCK_FENCE", fence.to_string())),
        common.url.as_deref().map(|url| ("DLOCK_URL", locker::without_password(url))),
    ];
    if common.verbose {
        eprintln!("dlock: \"{first}\" is locked");
    }
    let status = match Child::spawn(&run.command, environment.into_iter().flatten()) {
        Ok(child) => {
            Supervision { run, held: &held, child, kill_at: None, lost: None }.end(signals).await
        }
        Err(error) => {
            let program = run.command.first().cloned().unwrap_or_default();
            Ok(shim::cannot_run(&program, &error))
        }
    };
    let release = async {
        // A run that has failed is to be tried again.
        if matches!(status, Ok(0)) { held.complete().await } else { held.release().await }
    };
    let released = timeout(RELEASE_TIME_MAX, release).await;
    match released {
        // It has been told why already.
        _ if status.is_err() => status,
        Ok(Err(error)) if error.is_lost() => Err(Failure::new(LOST, error.to_string())),
        // The command has done what it was to; the session ends with us, and the lock with it.
        Ok(Err(error)) => {
            eprintln!("dlock: cannot confirm the release: {error}");
            status
        }
        Ok(Ok(())) | Err(_) => status,
    }
}

/// Somebody else has the lock: says who, where the server can tell.
async fn busy(
    common: &Common,
    run: &Run,
    locker: &Locker,
    mut error: dlock::Error,
) -> Result<u8, Failure> {
    if run.skip && !common.verbose {
        return Ok(0);
    }
    if let dlock::Error::Timeout { key, holder: holder @ None, .. } = &mut error
        && let Some(text) = key.as_str()
        && let Ok(Some(status)) = list::find(locker, text).await
    {
        *holder = status.holders.into_iter().next().map(Box::new);
    }
    let code = if run.skip { 0 } else { run.busy_status.unwrap_or(BUSY) };
    Err(Failure::from(error).with_code(code))
}

/// A command while it runs.
struct Supervision<'a> {
    run: &'a Run,
    held: &'a Held,
    child: Child,
    /// When the process group is killed.
    kill_at: Option<Instant>,
    /// Why the command is to end.
    lost: Option<String>,
}

impl Supervision<'_> {
    /// Passes signals on until the command has ended, and ends it when the lock is lost.
    async fn end(mut self, signals: &mut Signals) -> Result<u8, Failure> {
        let mut loss = pin!(self.held.lost());
        let longest = self.held.valid_for();
        loop {
            let in_doubt = self.doubt_at(longest);
            tokio::select! {
                biased;
                change = self.child.change() => match change {
                    Change::Ended(code) => return self.ended(code).await,
                    Change::Stopped => self.child.stop_too(),
                },
                signal = signals.recv() => self.child.signal(signal),
                info = &mut loss, if self.lost.is_none() => self.lost(&info),
                () = at(self.kill_at) => {
                    self.kill_at = None;
                    self.child.signal(Signal::SIGKILL);
                }
                () = at(in_doubt) => self.doubted(longest),
            }
        }
    }

    /// When the server will have been silent for long enough that the command must end now, if it is
    /// to have its grace before others can have the lock. Not where the grace is too long for that.
    fn doubt_at(&self, longest: Duration) -> Option<Instant> {
        let fits = self.run.grace + MARGIN <= longest / 2;
        let wanted = self.run.on_lost == OnLost::Term && self.lost.is_none();
        if !fits || !wanted || longest == Duration::MAX {
            return None;
        }
        let left = self.held.valid_for().saturating_sub(self.run.grace + MARGIN);
        Instant::now().checked_add(left)
    }

    /// That time has come, unless the server has answered meanwhile.
    fn doubted(&mut self, longest: Duration) {
        if self.doubt_at(longest).is_some_and(|at| at > Instant::now()) {
            return;
        }
        let left = self.held.valid_for();
        self.say(format!(
            "the database does not answer, and the lock is held for {} more seconds: ending the command",
            left.as_secs()
        ));
        self.child.signal(Signal::SIGTERM);
        self.kill_at = Some(Instant::now() + left.saturating_sub(MARGIN));
    }

    fn lost(&mut self, info: &LostInfo) {
        self.say(dlock::Error::from(info.clone()).to_string());
        match self.run.on_lost {
            OnLost::Term => {
                self.child.signal(Signal::SIGTERM);
                self.kill_at = Some(Instant::now() + self.run.grace);
            }
            OnLost::Kill => self.child.signal(Signal::SIGKILL),
            OnLost::Continue => {}
        }
    }

    fn say(&mut self, why: String) {
        eprintln!("dlock: {why}");
        self.lost = Some(why);
    }

    /// The command has ended. If that was for the lost lock, so must all that it has started.
    async fn ended(self, code: u8) -> Result<u8, Failure> {
        if self.lost.is_none() {
            return Ok(code);
        }
        if self.run.on_lost != OnLost::Continue {
            while !self.child.is_gone() {
                if self.kill_at.is_none_or(|at| at <= Instant::now()) {
                    self.child.signal(Signal::SIGKILL);
                    break;
                }
                sleep(LOOK).await;
            }
        }
        Err(Failure::new(
            LOST,
            format!("the lock was lost while the command ran; its own status was {code}"),
        ))
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
