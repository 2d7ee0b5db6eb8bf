use dlock::locked;

#[locked(shared)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
