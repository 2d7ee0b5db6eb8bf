//! Bad input, case by case: docs/bad-input.md shows what each gets, word for word as it is here.
//!
//! `DLOCK_TEST_UPDATE=1` writes the table of the page.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dlock::{
    Error, Key, KeyScheme, LeaseOptions, Lock, Locker, LockerBuilder, Mode, NativeKey, Wait,
};
use dlock_tests::Temp;

use crate::alone;

const BEGIN: &str = "<!-- cases: written by DLOCK_TEST_UPDATE=1 -->\n";
const END: &str = "<!-- end of cases -->\n";
const SECOND: Duration = Duration::from_secs(1);
const YEARS: Duration = Duration::from_secs(3 * 366 * 24 * 60 * 60);

/// What was done, and what came of it.
struct Cases {
    rows: Vec<String>,
    folder: Temp,
}

impl Cases {
    /// The text of the error is what a user sees; only the name of the test's folder is another one each time.
    fn add<T>(&mut self, what: &str, result: Result<T, Error>) {
        let error = result.err().unwrap_or_else(|| panic!("{what}: it was accepted"));
        let folder = self.folder.path().display().to_string();
        let text = error.to_string().replace(&folder, "/srv").replace('|', "\\|");
        assert!(!text.contains('\n') && !text.contains("s3cr3t"), "{text}");
        let name = format!("{error:?}");
        let name = name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        self.rows.push(format!("| {what} | `{name}` | {text} |\n"));
    }

    async fn url(&mut self, url: &str) {
        let shown = url.replace(&self.folder.path().display().to_string(), "/srv");
        self.add(&format!("`connect(\"{shown}\")`"), Locker::connect(url).await);
    }

    async fn builder(&mut self, what: &str, builder: LockerBuilder) {
        self.add(&format!("`{what}`"), builder.connect().await);
    }

    async fn lock(&mut self, what: &str, lock: Lock) {
        self.add(&format!("`{what}`"), lock.acquire().await);
    }

    fn sqlite(&self) -> String {
        format!("sqlite://{}", self.folder.file("locks.db").display())
    }
}

#[test]
fn each_case_gets_what_the_page_says() {
    alone(|| async {
        let mut cases = Cases { rows: Vec::new(), folder: Temp::new() };
        urls(&mut cases).await;
        settings(&mut cases).await;
        leases(&mut cases).await;
        options(&mut cases).await;
        keys(&mut cases).await;
        misuse(&mut cases).await;
        assert!(cases.rows.len() >= 60, "only {} cases", cases.rows.len());
        compare(&cases.rows.concat());
    });
}

async fn urls(cases: &mut Cases) {
    for url in [
        "",
        "localhost/app",
        "app:s3cr3t@host/app",
        "redis://host",
        "postgresql+asyncpg://host/app",
        "POSTGRES://host/app",
        "jdbc:postgresql://host/app",
        "cockroachdb://host/app",
        "lease+redis://host",
        "postgres://host:port/app",
        "postgres://app:s3cr3t@[::1/app",
        "postgres://host/app?sslmode=nonsense",
        "postgres://one,two/app",
        "mysql://one,two/app",
        "mysql://host:99999/app",
        "mssql://host/app?encrypt=perhaps",
        "mssql://host:port/app",
        "sqlite://",
        "sqlite:///no/such/folder/locks.db",
    ] {
        cases.url(url).await;
    }
    let file = cases.sqlite();
    cases.url(&format!("{file}?mode=perhaps")).await;
    cases.url(&format!("{file}?nonsense=1")).await;
    cases.url(&format!("{file}?mode=ro")).await;
}

async fn settings(cases: &mut Cases) {
    let memory = || Locker::builder("memory:bad-input");
    cases.builder(".max_sessions(0)", memory().max_sessions(0)).await;
    cases.builder(".max_keys(0)", memory().max_keys(0)).await;
    cases.builder(".session_ttl(0 s)", memory().session_ttl(Duration::ZERO)).await;
    cases.builder(".session_ttl(2 days)", memory().session_ttl(172_800 * SECOND)).await;
    cases.builder(".connect_timeout(0 s)", memory().connect_timeout(Duration::ZERO)).await;
    cases.builder(".connect_timeout(2 h)", memory().connect_timeout(7200 * SECOND)).await;
    cases.builder(".retry_every(0 s)", memory().retry_every(Duration::ZERO)).await;
    cases.builder(".namespace(\"dlock beside\")", memory().namespace("dlock beside")).await;
    let scheme = memory().key_scheme(KeyScheme::SqlalchemyDlock).namespace("billing");
    cases.builder(".key_scheme(SqlalchemyDlock).namespace(\"billing\")", scheme).await;
    let pals = memory().key_scheme(KeyScheme::Pals { app: "app".into() });
    cases.builder(".key_scheme(Pals) on memory:", pals).await;
    let django = Locker::builder(&cases.sqlite()).key_scheme(KeyScheme::DjangoDatabaseLocks);
    cases.builder(".key_scheme(DjangoDatabaseLocks) on sqlite://", django).await;
    let sqlite = Locker::builder(&cases.sqlite());
    cases.builder(".session_ttl(20 s) on sqlite://", sqlite.session_ttl(20 * SECOND)).await;
    let sqlite = Locker::builder(&cases.sqlite());
    cases.builder(".max_keys(7) on sqlite://", sqlite.max_keys(7)).await;
    let file = memory().status_file("/no/such/folder/status");
    cases.builder(".status_file(\"/no/such/folder/status\")", file).await;
}

async fn leases(cases: &mut Cases) {
    let options = LeaseOptions::new;
    let sqlite = cases.sqlite();
    for (what, lease) in [
        ("ttl(0 s)", options().ttl(Duration::ZERO)),
        ("ttl(3 years)", options().ttl(YEARS)),
        ("ttl(10 s).renew_before(10 s)", options().ttl(10 * SECOND).renew_before(10 * SECOND)),
        ("renew_before(0 s)", options().renew_before(Duration::ZERO)),
        ("owner(\"\")", options().owner("")),
        ("owner(300 letters)", options().owner("x".repeat(300))),
        ("owner(\"a\\0b\")", options().owner("a\0b")),
        ("table(\"\")", options().table("")),
        ("table(\"a b\")", options().table("a b")),
        ("table(\"a.b.c\")", options().table("a.b.c")),
        ("poll(0 s, 1 s)", options().poll(Duration::ZERO, SECOND)),
        ("poll(2 s, 1 s)", options().poll(2 * SECOND, SECOND)),
    ] {
        let builder = Locker::builder(&sqlite).lease_options(lease);
        cases.builder(&format!("LeaseOptions::{what}"), builder).await;
    }
    let builder = Locker::builder("memory:bad-input").lease_options(options().ttl(20 * SECOND));
    cases.builder("LeaseOptions::ttl(20 s) on memory:", builder).await;
    cases.add("`lease::ddl(\"redis\")`", dlock::lease::ddl("redis"));
}

async fn options(cases: &mut Cases) {
    let memory = Locker::connect("memory:bad-input").await.unwrap();
    let sqlite = Locker::connect(&cases.sqlite()).await.unwrap();
    let lock = || memory.lock("k");
    let lease = || sqlite.lock("k");
    cases.lock(".permits(0)", lock().permits(0)).await;
    cases.lock(".permits(1_000_000)", lock().permits(1_000_000)).await;
    cases.lock(".permits(2).shared()", lock().permits(2).shared()).await;
    cases.lock(".permits(2).fenced()", lock().permits(2).fenced()).await;
    cases.lock(".shared().fenced()", lock().shared().fenced()).await;
    cases.lock(".retry_every(0 s)", lock().retry_every(Duration::ZERO)).await;
    cases.lock(".min_hold(3 years)", lock().min_hold(YEARS)).await;
    cases.lock(".ttl(5 s) on memory:", lock().ttl(5 * SECOND)).await;
    cases.lock(".owner(\"ada\") on memory:", lock().owner("ada")).await;
    cases.lock(".once_per(1 h) on memory:", lock().once_per(3600 * SECOND)).await;
    cases.lock(".shared() on sqlite://", lease().shared()).await;
    cases.lock(".mode(Update) on sqlite://", lease().mode(Mode::Update)).await;
    cases.lock(".ttl(0 s) on sqlite://", lease().ttl(Duration::ZERO)).await;
    cases.lock(".owner(\"\") on sqlite://", lease().owner("")).await;
    cases.lock(".once_per(0 s) on sqlite://", lease().once_per(Duration::ZERO)).await;
    let none = memory.lock_all(Vec::<Key>::new()).acquire().await;
    cases.add("`lock_all([])`", none);
    sqlite.close().await;
}

async fn keys(cases: &mut Cases) {
    let file = cases.sqlite();
    let with = async |make: fn(&Key) -> NativeKey| {
        let builder = Locker::builder(&file).key_scheme(KeyScheme::Custom(Arc::new(make)));
        builder.connect().await.unwrap()
    };
    let long = with(|_| NativeKey::Name("x".repeat(300))).await;
    cases.lock("a KeyScheme::Custom that makes 300 letters, on sqlite://", long.lock("k")).await;
    let zero = with(|_| NativeKey::Name("a\0b".into())).await;
    cases.lock("a KeyScheme::Custom that makes \"a\\0b\", on sqlite://", zero.lock("k")).await;
}

async fn misuse(cases: &mut Cases) {
    let locker = Locker::connect("memory:bad-input").await.unwrap();
    let reentrant = locker.lock("k").run(async |_| locker.lock("k").acquire().await).await.unwrap();
    cases.add("a lock in a body that runs under it", reentrant);
    let held = locker.lock("busy").acquire().await.unwrap();
    let busy = locker.lock("busy").timeout(Wait::NoWait).acquire().await;
    let busy = busy.map_err(|error| match error {
        // Since when is not the same each time.
        Error::Timeout { key, waited, stage, .. } => {
            Error::Timeout { key, waited, stage, holder: None }
        }
        other => other,
    });
    cases.add("a try of a key that somebody holds", busy);
    drop(held);
    cases.add("`registry::get(\"billing\")`, never installed", dlock::registry::get("billing"));
    let lock = locker.lock("k");
    locker.close().await;
    cases.add("a lock of a locker that was closed", lock.acquire().await);
    let here = tokio::task::spawn_blocking(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let builder = Locker::builder("memory:bad-input-here").runtime(runtime.handle().clone());
        runtime.block_on(async { builder.connect_blocking() })
    });
    cases.add("a blocking call on the only thread of the engine's runtime", here.await.unwrap());
}

fn compare(rows: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bad-input.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    // What only those read who have the test kit.
    let rows = rows.replace(", or in a test testing::Locker::install_scoped on this thread,", "");
    let table = format!("\n| input | error | its text |\n|---|---|---|\n{rows}\n");
    if std::env::var_os("DLOCK_TEST_UPDATE").is_some() {
        return std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    }
    for (there, here) in there.lines().zip(table.lines()) {
        assert_eq!(
            there, here,
            "docs/bad-input.md is out of date: run this test with DLOCK_TEST_UPDATE=1"
        );
    }
    assert_eq!(there.lines().count(), table.lines().count(), "docs/bad-input.md has other rows");
}
