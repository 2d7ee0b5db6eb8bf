use dlock::locked;

#[locked(key = "k", permits = 3, once_per = "1d")]
async fn report() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
