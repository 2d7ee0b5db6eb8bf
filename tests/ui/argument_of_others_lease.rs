use dlock::locked;

#[locked(lease = "30s")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
