#![deny(unused_variables)]
use dlock::locked;

#[locked(guard = lock)]
async fn rename() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
