use dlock::locked;

#[locked()]
const fn rename() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
