use dlock::locked;

#[locked(key = "k", retry_every = -1)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
