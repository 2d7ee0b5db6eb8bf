use dlock::locked;

#[locked(key = "<user_id>%<name>")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
