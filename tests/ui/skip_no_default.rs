use dlock::locked;

struct User;

#[locked(on_busy = skip)]
async fn find() -> Result<User, dlock::Error> {
    Ok(User)
}

fn main() {}
