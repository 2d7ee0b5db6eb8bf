use dlock::locked;

struct User {
    id: u64,
}

#[locked(key = "user:<user.name>")]
async fn rename(user: User) -> Result<(), dlock::Error> {
    drop(user.id);
    Ok(())
}

fn main() {}
