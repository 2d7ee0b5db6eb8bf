#![deny(unused_variables)]
use dlock::locked;

#[locked]
async fn rename(name: String) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
