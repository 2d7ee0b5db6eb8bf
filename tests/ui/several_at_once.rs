use dlock::locked;

#[locked(key = "user:<usr_id>:<nmae>", timeout = -1, wait = true, release = never)]
const fn rename(user_id: u64, name: &str) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
