use dlock::locked;

#[locked(name = "user:<user_id>")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
