//! Signals that a command obeys or passes on.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use nix::sys::signal::Signal;
use tokio::signal::unix::{self, SignalKind};

const PASSED_ON: [Signal; 6] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// From when it is made, none of them ends this process by itself.
pub(crate) struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// Those that the program which started us wants to be ignored, as `nohup` does, stay ignored: also by the
    /// command, which inherits that.
    pub(crate) fn new() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = PASSED_ON.into_iter().filter(|signal| !is_in(ignored, *signal));
        let streams = wanted.map(|signal| {
            let stream = unix::signal(SignalKind::from_raw(signal as i32))?;
            Ok((signal, stream))
        });
        streams.collect::<io::Result<_>>().map(Signals)
    }

    /// The next one. Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Signal {
        poll_fn(|context| {
            for (signal, stream) in &mut self.0 {
                if let Poll::Ready(Some(())) = stream.poll_recv(context) {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

fn is_in(mask: u64, signal: Signal) -> bool {
    mask & (1 << (signal as i32 - 1)) != 0
}

/// The signals that this process ignores, a bit each; none where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
