use dlock::locked;

#[locked(key = "k", once_per = none)]
async fn report() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
