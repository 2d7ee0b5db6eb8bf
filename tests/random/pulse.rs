//! How busy the machine is: what has a bound in time has a wider one where nothing goes as planned.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// How often it looks.
const BEAT: Duration = Duration::from_millis(20);
/// A call has so many steps that each can come as late as a beat did.
const STEPS: u32 = 20;
/// No machine that tests run on is busier.
const MOST: Duration = Duration::from_secs(20);

/// Looks all the time by how much a thread that sleeps is woken too late.
#[derive(Debug)]
pub(crate) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(crate) fn start() -> Self {
        let worst = Arc::new(AtomicU64::new(0));
        let shared = Arc::clone(&worst);
        thread::spawn(move || {
            // Until nobody asks any more.
            while Arc::strong_count(&shared) > 1 {
                let begun = Instant::now();
                sleep(BEAT);
                let late = begun.elapsed().saturating_sub(BEAT);
                let late = u64::try_from(late.as_nanos()).unwrap_or(u64::MAX);
                shared.fetch_max(late, Ordering::Relaxed);
            }
        });
        Pulse(worst)
    }

    /// How much longer than on an idle machine something may have taken so far.
    pub(crate) fn slack(&self) -> Duration {
        let worst = Duration::from_nanos(self.0.load(Ordering::Relaxed));
        worst.saturating_mul(STEPS).min(MOST)
    }
}
