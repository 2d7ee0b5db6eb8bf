use dlock::locked;

#[locked(key = "user:<user_id>" timeout = 10)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
