//! `assert_locked!`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dlock::testing::Locker;
use dlock::{Result, locked};

#[locked(key = "user:<id>")]
async fn rename(id: i64) -> Result<()> {
    tokio::task::yield_now().await;
    write_name(id);
    Ok(())
}

#[locked(key = "user:<id>", mode = shared)]
fn read_name(id: i64) -> Result<()> {
    write_name(id);
    Ok(())
}

fn write_name(id: i64) {
    dlock::assert_locked!("user:{}", id);
    dlock::assert_locked!(format!("user:{id}"));
}

fn panic_of(body: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).expect_err("it should have panicked");
    payload.downcast_ref::<String>().expect("a text").clone()
}

#[tokio::test(start_paused = true)]
async fn passes_under_the_lock() {
    let dlock = Locker::new();
    let _default = dlock.install_scoped();
    rename(7).await.unwrap();
    read_name(7).unwrap();
    dlock.lock(7).run(async |_| dlock::assert_locked!(7)).await.unwrap();
    let several = dlock.lock_all(["a", "b"]);
    several.run(async |_| dlock::assert_locked!("b",)).await.unwrap();
    let guard = dlock.lock("k").acquire().await.unwrap();
    guard.protect(async { dlock::assert_locked!("k") }).await.unwrap();
}

#[tokio::test]
async fn works_with_real_lockers_too() {
    let locker = dlock::Locker::connect("memory:asserting").await.unwrap();
    locker.lock("k").run(async |_| dlock::assert_locked!("k")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn panics_elsewhere_and_says_what_to_do() {
    let dlock = Locker::new();
    let text = panic_of(|| write_name(7));
    assert!(text.contains("not run under lock \"user:7\": it runs under no lock"), "{text}");
    assert!(text.contains("Guard::protect") && !text.contains("written"), "{text}");
    let lock = dlock.lock("other");
    let text = lock.run_blocking(|_| panic_of(|| write_name(7))).unwrap();
    assert!(text.contains("it runs under \"other\" only"), "{text}");
    let text = panic_of(|| dlock::assert_locked!("user:{id}"));
    assert!(text.contains("\"user:{}\", id"), "{text}");
    // A guard that is only held says nothing of the code that runs.
    let _guard = dlock.lock("user:7").acquire().await.unwrap();
    panic_of(|| write_name(7));
}

#[test]
fn panics_when_the_lock_is_lost() {
    let dlock = Locker::new();
    let text = dlock.lock("k").run_blocking(|_| {
        dlock.lose("k");
        panic_of(|| dlock::assert_locked!("k"))
    });
    assert!(text.unwrap_err().is_lost());
}

#[test]
fn panic_names_the_line_of_the_caller() {
    let hook = std::panic::take_hook();
    let (send, receive) = std::sync::mpsc::channel();
    std::panic::set_hook(Box::new(move |info| {
        let _ = send.send(info.location().map(|at| at.file().to_owned()));
    }));
    panic_of(|| dlock::assert_locked!("k"));
    std::panic::set_hook(hook);
    let files: Vec<_> = receive.try_iter().flatten().collect();
    assert!(files.iter().any(|file| file.ends_with("asserting.rs")), "{files:?}");
}
