use dlock::locked;

struct Users;

#[locked(key = "users")]
impl Users {
    async fn rename(&self) {}
}

fn main() {}
