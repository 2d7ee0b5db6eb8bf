use dlock::locked;

#[locked(key = "k", permits = 3, fenced)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
