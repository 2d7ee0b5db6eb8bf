//! Everything that a function can be.

use std::fmt::Display;
use std::rc::Rc;
use std::sync::Arc;

use dlock::{Error, Locker, locked};

use super::memory;

struct Counter {
    at: Locker,
    value: u32,
}

impl Counter {
    #[locked(key = "<self.value>", locker = self.at)]
    async fn bump(&mut self) -> Result<&mut u32, Error> {
        self.value += 1;
        Ok(&mut self.value)
    }

    #[locked(key = "<self.value>", locker = self.at)]
    fn bump_blocking(&mut self) -> Result<&mut u32, Error> {
        self.value += 1;
        Ok(&mut self.value)
    }

    #[locked(key = "k", locker = self.at)]
    async fn by_value(mut self) -> Result<Self, Error> {
        self.value += 1;
        Ok(self)
    }

    #[locked(key = "k", locker = self.at)]
    async fn shared(self: Arc<Self>) -> Result<Arc<Self>, Error> {
        Ok(self)
    }

    #[locked(key = "k", locker = this.at)]
    fn longest<'a>(this: &'a Self, a: &'a str, b: &'a str) -> Result<&'a str, Error> {
        Ok(if a.len() > b.len() { a } else { b })
    }
}

#[locked(key = "k:<name>", locker = at)]
async fn generic<T, const N: usize>(at: &Locker, name: &str, values: [T; N]) -> Result<T, Error>
where
    T: Copy + Default,
{
    Ok(values.last().copied().unwrap_or_default())
}

#[locked(key = "k:<name>", locker = at)]
async fn opaque(at: &Locker, name: impl Display + Clone) -> Result<impl Display + Clone, Error> {
    Ok(name)
}

#[locked(key = "k", locker = at, on_busy = Vec::new().into_iter(), on_error = |_| panic!())]
fn opaque_alone(at: &Locker) -> impl Iterator<Item = u8> + use<> {
    vec![1, 2].into_iter()
}

#[locked(key = "k", locker = at)]
async fn not_send(at: &Locker, value: Rc<u8>) -> Result<Rc<u8>, Error> {
    tokio::task::yield_now().await;
    Ok(value)
}

#[locked(key = "k", locker = at, timeout = 5)]
/// Documented.
#[must_use = "it is tested"]
#[tracing::instrument(skip(at))]
pub(crate) async fn attributes(at: &Locker, value: u8) -> Result<u8, Error> {
    #![allow(clippy::eq_op, unused_mut)]
    let mut same = 1 == 1;
    Ok(value + u8::from(same))
}

#[locked(key = "k:<value>", locker = at)]
async fn conditional(
    at: &Locker,
    #[cfg(not(any()))] value: u8,
    #[cfg(any())] value: u16,
    #[cfg(any())] _absent: u8,
) -> Result<u8, Error> {
    Ok(value)
}

#[tracing::instrument(skip(at))]
#[locked(key = "k:<value>", locker = at)]
async fn instrumented(at: &Locker, value: u8) -> Result<u8, Error> {
    Ok(value)
}

#[locked(key = "k", locker = at)]
async fn closures(at: &Locker, values: Vec<u8>) -> Result<Vec<u8>, Error> {
    let add = |by: u8| values.iter().map(move |value| value + by).collect();
    let block = async { add(1) };
    Ok(block.await)
}

/// Names like those that the expansion uses itself.
#[locked(key = "<lock>:<key>", locker = at, guard = held)]
async fn names(at: &Locker, lock: u8, key: u8, error: u8) -> Result<u8, Error> {
    let __dlock_held = held.key() == &dlock::Key::from("1:2");
    let __dlock_lock = lock + key + error;
    assert!(__dlock_held);
    Ok(__dlock_lock)
}

mod shadowed {
    //! A module in which every name the expansion could lean on is something else.
    #![allow(dead_code, non_camel_case_types, reason = "they are only in the way")]
    use ::dlock::locked;

    mod core {}
    mod std {}
    mod dlock {}
    struct Ok;
    struct Err;
    struct Result;
    struct Future;
    #[locked(key = "k:<id>", timeout = 1, locker = at, on_busy = 0, on_error = |_| 0)]
    pub(super) async fn function(at: &::dlock::Locker, id: u8) -> u8 {
        id
    }
}

/// The crate under another name.
mod renamed {
    pub(super) mod inner {
        pub(in super::super) use dlock as my_locks;
    }

    #[inner::my_locks::locked(key = "k", locker = at, crate = inner::my_locks)]
    pub(super) fn function(at: &inner::my_locks::Locker) -> dlock::Result<u8> {
        Ok(1)
    }
}

#[tokio::test]
async fn methods() {
    let mut counter = Counter { at: memory("functions-methods"), value: 0 };
    *counter.bump().await.unwrap() += 1;
    *counter.bump_blocking().unwrap() += 1;
    let counter = counter.by_value().await.unwrap();
    assert_eq!(Counter::longest(&counter, "a", "bb").unwrap(), "bb");
    let counter = Arc::new(counter);
    assert_eq!(counter.shared().await.unwrap().value, 5);
}

#[tokio::test]
async fn free_functions() {
    let at = memory("functions-free");
    assert_eq!(generic(&at, "n", [1, 2, 3]).await.unwrap(), 3);
    assert_eq!(opaque(&at, "text").await.unwrap().to_string(), "text");
    assert_eq!(opaque_alone(&at).sum::<u8>(), 3);
    assert_eq!(*not_send(&at, Rc::new(7)).await.unwrap(), 7);
    assert_eq!(closures(&at, vec![1, 2]).await.unwrap(), [2, 3]);
    assert_eq!(attributes(&at, 1).await.unwrap(), 2);
    assert_eq!(conditional(&at, 1).await.unwrap(), 1);
    assert_eq!(instrumented(&at, 1).await.unwrap(), 1);
}

#[tokio::test]
async fn hygiene() {
    let at = memory("functions-hygiene");
    assert_eq!(names(&at, 1, 2, 3).await.unwrap(), 6);
    assert_eq!(shadowed::function(&at, 7).await, 7);
    assert_eq!(renamed::function(&at).unwrap(), 1);
}
