use dlock::locked;

#[locked(key = "users")]
fn rename() -> impl Future<Output = Result<(), dlock::Error>> {
    async { Ok(()) }
}

fn main() {}
