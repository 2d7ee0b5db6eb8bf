use dlock::locked;

#[locked(wait = 10)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
