use dlock::locked;

#[locked(fenced, key = "k")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
