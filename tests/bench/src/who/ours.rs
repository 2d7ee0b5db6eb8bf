//! dlock: the engine on a thread of its own, or on the caller's runtime.

use std::time::Duration;

use dlock::{Guard, Locker, Wait};

use crate::args::Args;
use crate::locks::Locks;

#[derive(Clone)]
pub struct Ours {
    locker: Locker,
    background: bool,
}

impl Ours {
    pub fn connect_blocking(args: &Args) -> Self {
        let locker = Locker::builder(&args.url).connect_blocking().unwrap();
        Ours { locker, background: args.background }
    }

    pub fn pair_blocking(&self, key: &str) {
        let guard = self.locker.lock(key).timeout(Wait::Forever).acquire_blocking().unwrap();
        if !self.background {
            guard.release_blocking().unwrap();
        }
    }
}

impl Locks for Ours {
    type Held = Guard;

    async fn connect(args: &Args) -> Self {
        let mut builder = Locker::builder(&args.url).application_name("bench-dlock");
        if args.who == "dlock-here" {
            builder = builder.runtime(tokio::runtime::Handle::current());
        }
        Ours { locker: builder.connect().await.unwrap(), background: args.background }
    }

    async fn acquire(&self, key: &str, timeout: Option<Duration>) -> Option<Guard> {
        let wait = timeout.map_or(Wait::Forever, Wait::from);
        match self.locker.lock(key).timeout(wait).acquire().await {
            Ok(guard) => Some(guard),
            Err(error) if error.is_timeout() => None,
            Err(error) => panic!("{error}"),
        }
    }

    async fn release(&self, guard: Guard) {
        if !self.background {
            guard.release().await.unwrap();
        }
    }
}
