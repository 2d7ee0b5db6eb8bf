use dlock::locked;

struct User;

#[locked(key = "user:<user>:profile")]
fn rename(user: User) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
