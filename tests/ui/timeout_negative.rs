use dlock::locked;

#[locked(timeout = -0.5)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
