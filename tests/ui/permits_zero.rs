use dlock::locked;

#[locked(key = "k", permits = 0)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
