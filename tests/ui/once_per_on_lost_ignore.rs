use dlock::locked;

#[locked(key = "k", once_per = "1d", on_lost = ignore)]
async fn report() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
