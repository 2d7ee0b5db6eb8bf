use dlock::locked;

#[locked(timeout = 1e999)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
