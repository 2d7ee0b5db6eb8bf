use dlock::locked;

#[locked(tx = conn)]
async fn pay() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
