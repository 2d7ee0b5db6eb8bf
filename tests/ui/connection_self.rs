use dlock::locked;

struct Shop;

impl Shop {
    #[locked(on = self)]
    async fn pay(&mut self) -> Result<(), dlock::Error> {
        Ok(())
    }
}

fn main() {}
