use dlock::locked;

#[locked(key = "k", mode = shared, permits = 3)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
