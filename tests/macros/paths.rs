//! The key of a function that names none.

use dlock::{Error, Guard, Key, Locker, locked};

use super::memory;

type Taken = Result<Key, Error>;

fn key(of: &str) -> Key {
    Key::from(format!("{}::{of}", module_path!()))
}

#[locked(locker = at, guard = lock)]
async fn free(at: &Locker) -> Taken {
    Ok(lock.key().clone())
}

#[locked(locker = at, guard = lock)]
fn free_blocking<T>(at: &Locker, _value: T) -> Taken {
    Ok(lock.key().clone())
}

struct Job<T>(T);
struct Other;

impl<T: Copy> Job<T> {
    #[locked(locker = at, guard = lock)]
    async fn run(&self, at: &Locker) -> Taken {
        Ok(lock.key().clone())
    }

    #[locked(locker = at, guard = lock)]
    fn associated(at: &Locker) -> Taken {
        Ok(lock.key().clone())
    }
}

impl Other {
    #[locked(locker = at, guard = lock)]
    async fn run(&self, at: &Locker) -> Taken {
        Ok(lock.key().clone())
    }
}

trait Run {
    fn key(lock: &Guard) -> Key {
        lock.key().clone()
    }

    #[locked(locker = at, guard = lock)]
    async fn default(&self, at: &Locker) -> Taken {
        Ok(Self::key(&lock))
    }

    fn required(&self, at: &Locker) -> Taken;
}

impl<T> Run for Job<T> {
    fn required(&self, _: &Locker) -> Taken {
        Err(Error::Closed)
    }
}

impl Run for Other {
    #[locked(locker = at, guard = lock)]
    fn required(&self, at: &Locker) -> Taken {
        Ok(Self::key(&lock))
    }
}

#[tokio::test]
async fn is_the_path_of_the_function() {
    let at = memory("paths-free");
    assert_eq!(free(&at).await.unwrap(), key("free"));
    assert_eq!(free_blocking(&at, 1_u8).unwrap(), key("free_blocking"));
    assert_eq!(free_blocking(&at, "").unwrap(), key("free_blocking"));

    #[locked(locker = at, guard = lock)]
    fn nested(at: &Locker) -> Taken {
        Ok(lock.key().clone())
    }
    assert_eq!(nested(&at).unwrap(), key("is_the_path_of_the_function::nested"));
}

#[tokio::test]
async fn is_the_path_of_the_method() {
    let at = memory("paths-methods");
    assert_eq!(Job(1_u8).run(&at).await.unwrap(), key("Job::run"));
    assert_eq!(Job("").run(&at).await.unwrap(), key("Job::run"));
    assert_eq!(Job::<u8>::associated(&at).unwrap(), key("Job::associated"));
    assert_eq!(Other.run(&at).await.unwrap(), key("Other::run"));
    let module = module_path!();
    // A provided method is a method of each type that has it, not one for all of them.
    for (name, taken) in
        [("Other", Other.default(&at).await), ("Job", Job(1_u8).default(&at).await)]
    {
        let default = format!("<{module}::{name} as {module}::Run>::default");
        assert_eq!(taken.unwrap(), Key::from(default));
    }
    let required = format!("<{module}::Other as {module}::Run>::required");
    assert_eq!(Other.required(&at).unwrap(), Key::from(required));
}
