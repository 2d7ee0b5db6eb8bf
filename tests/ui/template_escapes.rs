use dlock::locked;

#[locked(key = "\t\u{e9}:<usr_id>\n")]
async fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
