use dlock::{Locker, locked};

struct Shop {
    locker: Locker,
}

impl Shop {
    #[locked(key = "stock", locker = "self.locker")]
    async fn count(&self) -> Result<(), dlock::Error> {
        Ok(())
    }
}

fn main() {}
