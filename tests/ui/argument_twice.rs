use dlock::locked;

#[locked(timeout = 10, key = "user:<user_id>", timeout = 20)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
