use dlock::locked;

#[locked(key = "k")]
async fn count() -> Result<u32, dlock::Error> {
    7
}

fn main() {}
