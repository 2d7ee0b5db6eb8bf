use dlock::locked;

#[locked(key = "users")]
struct Users;

fn main() {}
