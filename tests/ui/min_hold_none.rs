use dlock::locked;

#[locked(key = "k", min_hold = none)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
