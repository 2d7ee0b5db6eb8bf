use std::pin::Pin;

use dlock::locked;

#[locked(key = "users")]
fn rename() -> Pin<Box<dyn Future<Output = Result<(), dlock::Error>> + Send>> {
    let answer = 42;
    Box::pin(async move { drop(answer); Ok(()) })
}

fn main() {}
