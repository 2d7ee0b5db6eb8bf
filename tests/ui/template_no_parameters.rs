use dlock::locked;

#[locked(key = "user:<user_id>")]
fn rename() -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
