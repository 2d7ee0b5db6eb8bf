use dlock::locked;

#[locked(on_lost = cancle)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
