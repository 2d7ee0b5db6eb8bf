//! Where the lock comes from.

use std::sync::Arc;

use dlock::{Error, Key, Locker, locked, registry};

use super::{is_held, memory};

struct State {
    locker: Locker,
    tenant: String,
}

struct Shop {
    locker: Arc<Locker>,
}

impl Shop {
    #[locked(key = "k", locker = &self.locker)]
    async fn reference(&mut self) -> Result<bool, Error> {
        Ok(is_held_elsewhere("lockers-method"))
    }

    #[locked(key = "k", locker = self.locker)]
    fn place(self) -> Result<Arc<Locker>, Error> {
        Ok(self.locker)
    }
}

#[locked(key = "k", locker = "lockers-named")]
async fn named() -> Result<bool, Error> {
    Ok(is_held_elsewhere("lockers-named"))
}

#[locked(key = "k", locker = format!("lockers-{name}"))]
async fn computed(name: &str) -> Result<bool, Error> {
    Ok(is_held_elsewhere("lockers-computed"))
}

#[locked(key = "k:<state.tenant>", locker = state.locker)]
async fn field_of_owned(state: State) -> Result<State, Error> {
    Ok(state)
}

#[locked(key = "k", locker = state.locker)]
fn field_of_borrowed(state: &State) -> Result<&str, Error> {
    Ok(&state.tenant)
}

#[locked(key = "k", locker = registry::get(name)?)]
async fn fallible(name: &str) -> Result<(), Error> {
    Ok(())
}

#[locked(key = "lockers-default", guard = lock)]
async fn default() -> Result<Key, Error> {
    Ok(lock.key().clone())
}

#[locked(key = "k", locker = "nowhere")]
async fn nowhere() -> Result<(), Error> {
    Ok(())
}

/// Asked of another locker: this code does not run under a lock of that.
fn is_held_elsewhere(name: &str) -> bool {
    is_held(&memory(name), "k")
}

#[tokio::test]
async fn a_name_is_looked_up() {
    registry::install("lockers-named", memory("lockers-named")).unwrap();
    registry::install("lockers-computed", memory("lockers-computed")).unwrap();
    assert!(named().await.unwrap());
    assert!(!is_held_elsewhere("lockers-named"));
    assert!(computed("computed").await.unwrap());
    fallible("lockers-named").await.unwrap();
    assert!(matches!(fallible("nowhere").await, Err(Error::NotInstalled { .. })));
}

#[tokio::test]
async fn a_name_that_nobody_has_is_an_error() {
    let Err(Error::NotInstalled { name, .. }) = nowhere().await else { panic!("it was locked") };
    assert_eq!(&*name, "nowhere");
}

#[tokio::test]
async fn an_expression_is_used() {
    let mut shop = Shop { locker: Arc::new(memory("lockers-method")) };
    assert!(shop.reference().await.unwrap());
    assert!(!is_held(&shop.locker, "k"));
    shop.place().unwrap();
    let state = State { locker: memory("lockers-field"), tenant: "acme".to_owned() };
    let state = field_of_owned(state).await.unwrap();
    assert_eq!(field_of_borrowed(&state).unwrap(), "acme");
}

#[tokio::test]
async fn the_default_is_what_init_installs() {
    dlock::init("memory:").await.unwrap();
    assert_eq!(default().await.unwrap(), Key::from("lockers-default"));
}
