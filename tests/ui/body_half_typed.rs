use dlock::locked;

#[locked(key = "user:<usr_id>")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    let x = name.
    Ok(())
}

fn main() {}
