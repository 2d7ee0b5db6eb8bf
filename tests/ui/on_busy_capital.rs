use dlock::locked;

#[locked(timeout = 0, on_busy = Skip)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
