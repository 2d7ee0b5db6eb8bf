use dlock::locked;

#[locked(keys = ["a", 1.5])]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
