use dlock::locked;

#[locked(timeout = "5 fortnights")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
