use dlock::locked;

#[locked(on_lost = cancel)]
fn rename() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
