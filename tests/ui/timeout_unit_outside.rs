use dlock::locked;

#[locked(timeout = 500ms)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
