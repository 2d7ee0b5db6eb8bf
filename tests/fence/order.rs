//! Tokens grow, to whomever they are given.

use std::collections::BTreeMap;
use std::time::Duration;

use dlock_tests::{Site, Temp, in_time, taker};

const PROCESSES: usize = 4;
const TASKS: usize = 32;
const TIMES: usize = 8;
const KEYS: usize = 3;

/// Four processes of 32 tasks each: no token comes twice, and who has a later one came later.
pub(crate) async fn of_tokens_is_that_of_grants(site: Site) {
    let folder = Temp::new();
    let file = |n: usize| folder.file(&n.to_string());
    let mut takers: Vec<_> = (0..PROCESSES)
        .map(|n| taker!(site, "tokens", TASKS, TIMES, KEYS, file(n).display()))
        .collect();
    for taker in &mut takers {
        taker.says("done").await;
    }
    // For each key, by token: from when to when it was held.
    let mut keys: BTreeMap<String, BTreeMap<u64, (u64, u64)>> = BTreeMap::new();
    for n in 0..PROCESSES {
        for line in std::fs::read_to_string(file(n)).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [key, token, from, until] = words[..] else { panic!("{line:?}") };
            let time = (from.parse().unwrap(), until.parse().unwrap());
            let earlier = keys.entry(key.into()).or_default().insert(token.parse().unwrap(), time);
            assert_eq!(earlier, None, "token {token} of {key} was given twice");
        }
    }
    let grants: usize = keys.values().map(BTreeMap::len).sum();
    assert_eq!(grants, PROCESSES * TASKS * TIMES);
    for (key, tokens) in keys {
        let mut last = (0, 0);
        for (token, (from, until)) in tokens {
            assert!(last.1 <= from, "token {token} of {key} was there before {} had gone", last.0);
            last = (token, until);
        }
    }
}

pub(crate) async fn goes_on_after_a_killed_client(site: Site) {
    let locker = site.locker().await;
    let mut last = 0;
    for _ in 0..3 {
        let mut taker = taker!(site, "hold-fenced", "k");
        let line = taker.line().await;
        let token: u64 = line.strip_prefix("held ").unwrap().parse().unwrap();
        assert!(token > last, "{token} after {last}");
        taker.kill();
        let lock = locker.lock("k").fenced();
        let guard = in_time("the lock", Duration::from_secs(10), lock.acquire()).await.unwrap();
        last = guard.fence().unwrap();
        assert!(last > token, "{last} after {token}");
        guard.release().await.unwrap();
    }
}
