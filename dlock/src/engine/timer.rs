//! A timer that is set again and again, mostly to later.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// To set a timer of the runtime costs more than to find, once in a while, that it rings too early.
#[derive(Default)]
pub(super) struct Timer {
    set: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Timer {
    /// Ends then; without a time, never. Cancel-safe.
    pub(super) async fn until(&mut self, time: Option<Instant>) {
        let Some(time) = time else {
            return std::future::pending().await;
        };
        let (set, sleep) = self.set.get_or_insert_with(|| (time, Box::pin(sleep_until(time))));
        loop {
            // One that has rung does not ring again by itself.
            if time < *set || sleep.is_elapsed() {
                sleep.as_mut().reset(time);
                *set = time;
            }
            sleep.as_mut().await;
            if time <= Instant::now() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_never_rings_early_whatever_it_was_set_to_before() {
        let mut timer = Timer::default();
        for after in [30, 10, 0, 20, 5] {
            let at = Instant::now() + Duration::from_millis(after);
            // Somebody else had something to say first.
            let until = timer.until(Some(at + Duration::from_millis(after)));
            tokio::select! { biased; () = until => {}, () = std::future::ready(()) => {} }
            timer.until(Some(at)).await;
            assert!(Instant::now() >= at, "{after}");
        }
    }
}
