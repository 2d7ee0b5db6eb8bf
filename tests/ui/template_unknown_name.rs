use dlock::locked;

#[locked(key = "user:<usr_id>:x")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
