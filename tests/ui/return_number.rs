use dlock::locked;

#[locked(key = "k")]
async fn count() -> u32 {
    1
}

fn main() {}
