//! A program that forks while it holds a lock.

use dlock::Error;
use fork::Fork;

/// The child looks at what it has of its parent's locks, then the parent does.
pub(crate) fn fork(url: &str, key: &str) {
    let locker = dlock::init_blocking(url).unwrap();
    let lock = locker.lock(key).on_lost(|info| println!("on_lost: {}", info.reason)).reentrant();
    let guard = lock.acquire_blocking().unwrap();
    match fork::fork().unwrap() {
        Fork::Child => {
            assert!(matches!(lock.acquire_blocking(), Err(Error::Closed)));
            let again = dlock::init_blocking(url).unwrap();
            // It is the parent's, whatever the child does with its copy.
            assert!(again.lock(key).try_acquire_blocking().unwrap().is_none());
            drop(guard);
            drop(lock);
            drop(locker);
            again.lock("the child's own").acquire_blocking().unwrap().release_blocking().unwrap();
            assert!(again.lock(key).try_acquire_blocking().unwrap().is_none());
            println!("the child is fine");
            std::process::exit(0);
        }
        Fork::Parent(child) => {
            fork::waitpid(child).unwrap();
            std::io::stdin().read_line(&mut String::new()).unwrap();
            assert!(!guard.is_lost());
            guard.release_blocking().unwrap();
            lock.acquire_blocking().unwrap().release_blocking().unwrap();
            println!("the parent is fine");
        }
    }
}
