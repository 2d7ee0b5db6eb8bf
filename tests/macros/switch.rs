//! Locking switched off. The switch is the whole process's, so this test runs in one of its own.

use std::process::Command;

use dlock::{Error, Key, locked};

#[locked(key = "<id>", locker = "switch-nowhere", timeout = 1, guard = lock)]
async fn with_guard(id: u8) -> Result<Key, Error> {
    lock.verify().await?;
    let key = lock.key().clone();
    lock.release().await?;
    Ok(key)
}

#[locked(locker = "switch-nowhere")]
fn recursive(left: u8) -> Result<u8, Error> {
    if left == 0 { Ok(left) } else { recursive(left - 1) }
}

#[locked(keys = ["<id>", "b"], locker = "switch-nowhere", permits = 3, guard = lock)]
fn with_keys(id: u8) -> Result<usize, Error> {
    let keys = lock.keys().count();
    lock.release_blocking()?;
    Ok(keys)
}

#[test]
fn nothing_is_looked_up_and_nobody_is_asked() {
    const CHILD: &str = "DLOCK_TEST_SWITCH";
    if std::env::var_os(CHILD).is_none() {
        let module = module_path!().split_once("::").unwrap().1;
        let this = format!("{module}::nothing_is_looked_up_and_nobody_is_asked");
        let me = std::env::current_exe().unwrap();
        let child = Command::new(me).args(["--exact", &this]).env(CHILD, "1").output().unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(matches!(recursive(0), Err(Error::NotInstalled { .. })));
    dlock::set_enabled(false);
    assert_eq!(recursive(2).unwrap(), 0);
    assert_eq!(with_keys(7).unwrap(), 2);
    assert_eq!(runtime.block_on(with_guard(7)).unwrap(), Key::from("7"));
    dlock::set_enabled(true);
    assert!(matches!(runtime.block_on(with_guard(7)), Err(Error::NotInstalled { .. })));
}
