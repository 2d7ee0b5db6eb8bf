use dlock::locked;

#[locked(timeout = f64::NAN)]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
