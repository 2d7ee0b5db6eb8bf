//! Programs that end while they hold a lock, each in its own way. What they leave behind, the test
//! looks for when they have ended.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use dlock::{Error, Guard, Locker, locked, registry};
use dlock_tests::Site;
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// A program that never drops its locker.
static LOCKER: OnceLock<Locker> = OnceLock::new();

/// Ends as is said by its name; `false`: there is no such way.
pub(crate) fn end(site: &Site, how: &str, key: &str, file: &Path) -> bool {
    let builder = || site.builder().status_file(file);
    let blocking = || {
        let locker = builder().connect_blocking().unwrap();
        let guard = locker.lock(key).acquire_blocking().unwrap();
        println!("held");
        (locker, guard)
    };
    let take = async || {
        let locker = builder().connect().await.unwrap();
        let guard = locker.lock(key).acquire().await.unwrap();
        println!("held");
        (locker, guard)
    };
    let runtime = || Runtime::new().unwrap();
    match how {
        "guard-in-scope" => {
            let (_locker, _guard) = blocking();
        }
        "locker-before-guard" => {
            let (locker, guard) = blocking();
            drop(locker);
            drop(guard);
        }
        "release-without-locker" => {
            let (locker, guard) = blocking();
            drop(locker);
            guard.release_blocking().unwrap();
        }
        "blocking-panic" => {
            let _held = blocking();
            panic!("as it is to end");
        }
        "locker-in-a-static" => {
            let (locker, _guard) = blocking();
            LOCKER.get_or_init(|| locker);
        }
        "registry" => {
            let (locker, _guard) = blocking();
            registry::install("default", locker).unwrap();
        }
        "exit" => {
            let (locker, _guard) = blocking();
            registry::install("default", locker).unwrap();
            std::process::exit(0);
        }
        "main-returns" => runtime().block_on(async {
            let (_locker, _guard) = take().await;
        }),
        "current-thread" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let (_locker, _guard) = take().await;
            });
        }
        "error" => {
            let failing = async || {
                let (_locker, _guard) = take().await;
                Err::<(), _>(std::io::Error::other("as it is to end"))?;
                Ok::<(), std::io::Error>(())
            };
            runtime().block_on(failing()).unwrap_err();
        }
        "panic" => runtime().block_on(async {
            let _held = take().await;
            panic!("as it is to end");
        }),
        "select" => runtime().block_on(async {
            let locker = builder().connect().await.unwrap();
            let lock = locker.lock(key);
            let running = lock.run(async |_| {
                println!("held");
                std::future::pending::<()>().await;
            });
            tokio::select! {
                _ = running => {}
                () = sleep(Duration::from_millis(300)) => {}
            }
        }),
        "background" => runtime().block_on(async {
            let locker = builder().connect().await.unwrap();
            in_background(&locker, key).await.unwrap();
        }),
        "tasks" => {
            let runtime = runtime();
            let (locker, guard) = runtime.block_on(take());
            runtime.spawn(hold(locker.clone(), guard));
            runtime.block_on(sleep(Duration::from_millis(50)));
            drop(locker);
        }
        "shutdown" => runtime().block_on(async {
            let (locker, guard) = take().await;
            registry::install("default", locker.clone()).unwrap();
            // It holds it as long as the process lives.
            std::thread::spawn(move || {
                let _held = (locker, guard);
                std::thread::park();
            });
            dlock::shutdown().await;
            println!("closed");
            // Nothing is done behind this.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .unwrap();
        }),
        _ => return false,
    }
    true
}

async fn hold(_locker: Locker, _guard: Guard) {
    std::future::pending().await
}

#[locked(key = "<key>", locker = locker, release = background)]
async fn in_background(locker: &Locker, key: &str) -> Result<(), Error> {
    println!("held");
    Ok(())
}
