//! `assert_locked!`.

use crate::lock::scope;
use crate::spec::key::IntoKey;

/// Panics unless this code runs under the lock of this key: inside a function with
/// [`#[locked]`](crate::locked), or in the body of [`run`](crate::Lock::run),
/// [`protect`](crate::Guard::protect) or a similar method, of any locker, in any mode. Use it in
/// tests of code that must never be called without the lock.
///
/// The key is given as in [`Locker::lock`](crate::Locker::lock). With more arguments, it is made as
/// by [`format!`]. A guard that was taken by hand does not count, because dlock cannot know which
/// code it protects: use `guard.protect(…)`, or check the guard itself.
///
/// # Panics
/// Panics if the code does not run under that lock, or if the lock is lost.
///
/// # Examples
/// ```
/// #[dlock::locked(key = "user:<id>")]
/// async fn rename(id: i64) -> dlock::Result<()> {
///     write_name(id);
///     Ok(())
/// }
///
/// fn write_name(id: i64) {
///     dlock::assert_locked!("user:{}", id);
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> dlock::Result<()> {
/// let dlock = dlock::testing::Locker::new();
/// let _default = dlock.install_scoped();
/// rename(7).await?;
/// dlock.lock(7).run(async |_| dlock::assert_locked!(7)).await
/// # }
/// ```
#[macro_export]
macro_rules! assert_locked {
    ($key:expr $(,)?) => {
        $crate::testing::assert_locked($key)
    };
    ($format:literal, $($argument:tt)+) => {
        $crate::testing::assert_locked(::std::format!($format, $($argument)+))
    };
}

/// What [`assert_locked!`](crate::assert_locked) calls.
#[track_caller]
#[expect(clippy::panic, reason = "to panic is what it is for")]
pub fn assert_locked(key: impl IntoKey) {
    let key = key.into_key();
    let all = scope::all_under();
    let held = all.iter().find(|(held, lost)| *held == key && !lost);
    if held.is_some() {
        return;
    }
    if all.iter().any(|(held, _)| *held == key) {
        panic!("this code runs under lock \"{key}\", but that lock is lost");
    }
    let names: Vec<_> = all.iter().map(|(held, _)| format!("\"{held}\"")).collect();
    let under = match names.as_slice() {
        [] => "under no lock".to_owned(),
        names => format!("under {} only", names.join(" and ")),
    };
    let braces = match key.to_string() {
        text if text.contains('{') => "; a key with arguments is written \"user:{}\", id",
        _ => "",
    };
    panic!(
        "this code does not run under lock \"{key}\": it runs {under}; call it from #[locked] or from the \
         body of Lock::run or Guard::protect (a guard that is only held is not seen){braces}"
    );
}
