use dlock::locked;

#[locked(key = "k", auto_renew = 1)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
