use dlock::locked;

#[locked(key = "user:<name.get(1)>")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
