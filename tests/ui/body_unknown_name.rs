use dlock::locked;

#[locked(key = "k")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(__dlock_lock)
}

fn main() {}
