use dlock::locked;

struct User;

#[locked(key = user)]
async fn rename(user: User) -> Result<(), dlock::Error> {
    Ok(())
}

fn main() {}
