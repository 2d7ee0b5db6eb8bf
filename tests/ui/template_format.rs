use dlock::locked;

#[locked(key = "user:<user_id:5q>")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
