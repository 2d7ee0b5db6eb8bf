use dlock::locked;

#[locked(keys = ["user:<user_id>", "user:<userid>"])]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
