//! What is to be measured.

use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Args {
    /// Whose locks: dlock, dlock-here (on the caller's runtime), dlock-sync, raw, sqlx, rslock, distributed-lock.
    pub who: String,
    pub url: String,
    /// w1 to w8, w10, idle.
    pub workload: String,
    pub seconds: f64,
    /// w2, w7: tasks; w3, w4: who waits; w6: keys.
    pub tasks: usize,
    /// w3: processes that share them.
    pub procs: usize,
    pub pool: u32,
    pub hold: Duration,
    /// dlock: the release is not waited for.
    pub background: bool,
    /// w1, w2: statements are counted as well, where the server does it.
    pub counted: bool,
    pub threads: usize,
    /// A process of w3: its number, and when to begin.
    pub worker: Option<(usize, u64)>,
}

impl Args {
    pub fn read() -> Self {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let get = |name: &str| {
            let at = given.iter().position(|arg| arg == &format!("--{name}"))?;
            given.get(at + 1).cloned()
        };
        let has = |flag: &str| given.iter().any(|arg| arg == flag);
        let number = |name: &str, default: f64| get(name).map_or(default, |n| n.parse().unwrap());
        let workload = get("workload").expect("--workload w1|w2|w3|w4|w5|w6|w7|w8|w10|idle");
        let tasks = match &*workload {
            "w1" | "w5" | "w8" | "w10" | "idle" => 1.0,
            "w2" => 64.0,
            "w3" => 8.0,
            "w4" => 100.0,
            "w6" => 1000.0,
            _ => 10_000.0,
        };
        Args {
            who: get("who").expect("--who NAME"),
            url: get("url").expect("--url URL"),
            workload,
            seconds: number("seconds", 2.0),
            tasks: number("tasks", tasks) as usize,
            procs: number("procs", 1.0) as usize,
            pool: number("pool", 8.0) as u32,
            hold: Duration::from_secs_f64(number("hold-ms", 1.0) / 1000.0),
            background: has("--background"),
            counted: has("--counted"),
            threads: number("threads", 1.0) as usize,
            worker: get("worker").map(|n| (n.parse().unwrap(), number("start", 0.0) as u64)),
        }
    }

    pub fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}
