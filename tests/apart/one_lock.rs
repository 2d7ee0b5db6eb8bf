//! Takes one lock in each way, for what watches a program: small, so that it need not watch long.

use dlock::Locker;

fn main() -> dlock::Result<()> {
    let locker = Locker::connect_blocking("memory:one-lock")?;
    // With much time: what is watched so runs many times as long.
    let lock = locker.lock("k");
    let guard = lock.acquire_blocking()?;
    guard.release_blocking()?;
    lock.run_blocking(|guard| println!("held: {}", !guard.is_lost()))?;
    locker.lock_all(["a", "b"]).acquire_blocking()?.release_blocking()?;
    let held = locker.lock("k").permits(2).acquire_blocking()?;
    drop(held);
    locker.close_blocking();
    println!("done");
    Ok(())
}
