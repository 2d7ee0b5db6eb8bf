use dlock::locked;

#[locked(on_busy = "busy")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
