use dlock::locked;

#[locked(keys = "user:<user_id>")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
