//! Methods of traits, with and without `#[async_trait]`.

use std::sync::Arc;

use async_trait::async_trait;
use dlock::{Error, Key, Locker, locked};

use super::{is_held, memory};

type Taken = Result<Key, Error>;

trait Native {
    fn locker(&self) -> &Locker;

    #[locked(key = "default:<id>", locker = self.locker(), guard = lock)]
    async fn default(&self, id: u8) -> Taken {
        Ok(lock.key().clone())
    }

    async fn required(&mut self, id: u8) -> Taken;

    fn blocking(self: Arc<Self>, id: u8) -> Taken;
}

#[async_trait]
trait Boxed: Sync {
    fn locker(&self) -> &Locker;

    #[locked(key = "default:<id>", locker = self.locker(), guard = lock)]
    async fn default(&self, id: u8) -> Taken {
        Ok(lock.key().clone())
    }

    async fn patterns(&mut self, names: (String, u8), _unused: Arc<u8>) -> Taken;
    async fn owned(self: Arc<Self>, id: &str) -> Taken;
    async fn unit(&self, ran: &mut bool);
    async fn generic<T: Send + 'static>(&self, value: T) -> Result<T, Error>;
}

struct Shop {
    at: Locker,
    tenant: String,
}

impl Native for Shop {
    fn locker(&self) -> &Locker {
        &self.at
    }

    #[locked(key = "<self.tenant>:<id>", locker = self.at, guard = lock)]
    async fn required(&mut self, id: u8) -> Taken {
        self.tenant.push('!');
        Ok(lock.key().clone())
    }

    #[locked(key = "<self.tenant>:<id>", locker = self.at, guard = lock)]
    fn blocking(self: Arc<Self>, id: u8) -> Taken {
        Ok(lock.key().clone())
    }
}

#[async_trait]
impl Boxed for Shop {
    fn locker(&self) -> &Locker {
        &self.at
    }

    #[locked(key = "<self.tenant>:<name>:<id>", locker = self.at, guard = lock)]
    async fn patterns(&mut self, (name, id): (String, u8), _unused: Arc<u8>) -> Taken {
        tokio::task::yield_now().await;
        self.tenant.push('!');
        drop((name, id));
        Ok(lock.key().clone())
    }

    #[locked(key = format!("{}:{id}", self.tenant), locker = &self.at, guard = lock)]
    async fn owned(self: Arc<Self>, id: &str) -> Taken {
        assert!(is_held(&memory("traits-boxed"), format!("acme!:{id}")), "only made, not run");
        Ok(lock.key().clone())
    }

    #[locked(key = "unit", locker = self.at, on_busy = skip, on_error = |error| panic!("{error}"))]
    async fn unit(&self, ran: &mut bool) {
        *ran = is_held(&memory("traits-boxed"), "unit");
    }

    #[locked(locker = self.at)]
    async fn generic<T: Send + 'static>(&self, value: T) -> Result<T, Error> {
        if size_of::<T>() == 0 {
            return Ok(value);
        }
        Err(Error::Closed)
    }
}

#[tokio::test]
async fn native_methods_are_locked() {
    let mut shop = Shop { at: memory("traits-native"), tenant: "acme".to_owned() };
    assert_eq!(Native::default(&shop, 1).await.unwrap(), Key::from("default:1"));
    assert_eq!(shop.required(2).await.unwrap(), Key::from("acme:2"));
    assert_eq!(Arc::new(shop).blocking(3).unwrap(), Key::from("acme!:3"));
}

#[tokio::test]
async fn boxed_methods_are_locked() {
    let mut shop = Shop { at: memory("traits-boxed"), tenant: "acme".to_owned() };
    assert_eq!(Boxed::default(&shop, 1).await.unwrap(), Key::from("default:1"));
    let taken = shop.patterns(("a:b".to_owned(), 2), Arc::new(0)).await;
    assert_eq!(taken.unwrap(), Key::from("acme:a%3Ab:2"));
    let mut ran = false;
    shop.unit(&mut ran).await;
    assert!(ran);
    shop.generic(()).await.unwrap();
    assert!(shop.generic(1).await.is_err());
    let at = shop.at.clone();
    assert_eq!(Arc::new(shop).owned("4").await.unwrap(), Key::from("acme!:4"));
    assert!(!is_held(&at, "acme!:4"));
    fn is_send(_: &impl Send) {}
    is_send(&Shop { at, tenant: String::new() }.unit(&mut ran));
}
